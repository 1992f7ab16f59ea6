"""Real servers, and Gates on them, for all tests here.

Servers     what clients/testing/serve lends: servers or a cluster, stopped, killed and started
Driver      redis-py or valkey-py, whichever --driver says
Blocking    an asyncio Gate that is used as a blocking one, so that each test is written once
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import pathlib
import subprocess
import threading
import time
from collections.abc import MutableMapping

import sessiongate
import sessiongate.asyncio

TOP = pathlib.Path(__file__).resolve().parents[3]
SERVE = TOP / "clients" / "testing" / "serve"
KEY = b"the-sign-key-of-these-tests-0123"
OLD_KEY = b"the-older-sign-key-of-these-tests"


def wait_for(condition, seconds=20, what="the condition"):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"after {seconds} s there is still not: {what}"
        time.sleep(0.01)
    return answer


def at_once(function, count):
    """Calls the function in so many threads, and waits until all are done."""
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Driver:
    def __init__(self, name):
        self.name = name
        self.module = importlib.import_module(name)
        self.aio = importlib.import_module(f"{name}.asyncio")
        kind = name.capitalize()
        self.Single = getattr(self.module, kind)
        self.Cluster = getattr(self.module, f"{kind}Cluster")
        self.AsyncSingle = getattr(self.aio, kind)
        self.AsyncCluster = importlib.import_module(f"{name}.asyncio.cluster").__dict__[f"{kind}Cluster"]
        self.version = tuple(int(part) for part in self.module.__version__.split(".")[:2])
        self.errors = importlib.import_module(f"{name}.exceptions")

    def no_retries(self, kind):
        """The option of a client of that kind that sends nothing again, as redis-py did before 6."""
        retry = self.aio.retry if kind == "asyncio" else self.module.retry
        return {"retry": retry.Retry(self.module.backoff.NoBackoff(), 0)}


class Servers:
    """serve's servers. `server(command)` is one line of it; see `clients/testing/serve --help`."""

    def __init__(self, driver, *arguments):
        self.driver = driver
        self.process = subprocess.Popen(
            [SERVE, *arguments], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self.process.stdout.readline()
        assert line, f"serve {arguments} did not start"
        said = json.loads(line)
        self.nodes = said["nodes"]
        self.ports = [node["port"] for node in self.nodes]
        self.port = self.ports[0]
        self.valkey = said["valkey"]
        self.admins = {}

    def __call__(self, command):
        print(command, file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def close(self):
        for admin in self.admins.values():
            admin.close()
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def admin(self, node=0):
        if node not in self.admins:
            self.admins[node] = self.driver.Single(port=self.ports[node], protocol=2)
        return self.admins[node]

    def info(self, section, node=0):
        return self.admin(node).info(section)

    def flush(self):
        for node, lent in enumerate(self.nodes):
            if lent["role"] == "master":
                self.admin(node).flushall()

    @contextlib.contextmanager
    def trips(self):
        """Counts the round trips of everybody else: `with trips() as made: ...; made.count`."""

        class Made:
            count = None

        before = self.info("stats")["total_reads_processed"]
        yield Made
        Made.count = self.info("stats")["total_reads_processed"] - before - 1

    def calls(self):
        """How often each of SessionGate's commands was called: {"pget": 3}."""
        stats = self.info("commandstats")
        prefix = "cmdstat_sessiongate."
        return {
            name.lower()[len(prefix) :]: its["calls"]
            for name, its in stats.items()
            if name.lower().startswith(prefix)
        }


class Blocking:
    """An asyncio Gate whose coroutines are run to their end when they are made."""

    def __init__(self, gate, loop):
        self.gate, self.loop = gate, loop

    def __getattr__(self, name):
        return self.run(getattr(self.gate, name))

    def __repr__(self):
        return repr(self.gate)

    def run(self, value):
        if inspect.iscoroutine(value):
            return self.run(self.loop.run_until_complete(value))
        if isinstance(value, sessiongate.asyncio.Session):
            return BlockingSession(value, self)
        if isinstance(value, contextlib.AsyncContextDecorator):
            return self.enter(value)
        if inspect.ismethod(value):
            return lambda *args, **kwargs: self.run(value(*args, **kwargs))
        return value

    @contextlib.contextmanager
    def enter(self, context):
        """An `async with` as a `with`."""
        entered = self.run(context.__aenter__())
        try:
            yield entered
        except BaseException as error:
            if not self.run(context.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.run(context.__aexit__(None, None, None))


class BlockingSession(MutableMapping):
    def __init__(self, session, blocking):
        self.session, self.blocking = session, blocking

    def __getattr__(self, name):
        return self.blocking.run(getattr(self.session, name))

    def __getitem__(self, name):
        return self.session[name]

    def __setitem__(self, name, value):
        self.session[name] = value

    def __delitem__(self, name):
        del self.session[name]

    def __contains__(self, name):
        return name in self.session

    def __iter__(self):
        return iter(self.session)

    def __len__(self):
        return len(self.session)

    def __repr__(self):
        return repr(self.session)


class Gates:
    """Makes Gates of one kind, "blocking" or "asyncio", on one server or cluster."""

    def __init__(self, driver, kind, servers):
        self.driver, self.kind, self.servers = driver, kind, servers
        self.clustered = len([node for node in servers.nodes if node["role"] == "master"]) > 1
        self.loop = asyncio.new_event_loop() if kind == "asyncio" else None
        self.clients = []
        self.no_retries = driver.no_retries(kind)

    def __call__(self, sign_keys=(KEY,), client=None, **settings):
        options = settings.pop("options", {})
        client = client or self.client(**options)
        if self.loop is None:
            return sessiongate.Gate(client, sign_keys, **settings)
        return Blocking(sessiongate.asyncio.Gate(client, sign_keys, **settings), self.loop)

    def client(self, **options):
        """A client that is connected, so that no test counts what that takes."""
        driver = self.driver
        if self.loop is None:
            kind = driver.Cluster if self.clustered else driver.Single
        else:
            kind = driver.AsyncCluster if self.clustered else driver.AsyncSingle
        client = kind(host="127.0.0.1", port=self.servers.port, **options)
        self.run(client.ping())
        self.clients.append(client)
        return client

    def run(self, value):
        return self.loop.run_until_complete(value) if inspect.isawaitable(value) else value

    def close(self):
        for client in self.clients:
            self.run(client.aclose() if self.loop else client.close())
        if self.loop:
            self.loop.close()
