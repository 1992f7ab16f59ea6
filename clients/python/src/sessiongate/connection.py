"""A client of the driver for an address, where it is not the application that makes one."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def client(location: str, cluster: bool = False, **options: Any) -> Any:
    """A blocking client of redis-py, or of valkey-py for valkey://, valkeys://.

    location    redis://user:password@host:port/db, rediss:// with TLS, unix://path
    options     the client's; by default it waits 5 seconds for a reply and 2 for a connection, and sends
                nothing again: a rotation whose reply was lost, repeated, would say that there is no session
    """
    driver = "valkey" if location.startswith(("valkey://", "valkeys://")) else "redis"
    retry = import_module(f"{driver}.retry").Retry(import_module(f"{driver}.backoff").NoBackoff(), 0)
    options = {"socket_timeout": 5, "socket_connect_timeout": 2, "retry": retry, **options}
    kind = driver.capitalize() + ("Cluster" if cluster else "")
    return getattr(import_module(driver), kind).from_url(location, **options)
