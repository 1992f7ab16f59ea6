"""Sessions on Redis and Valkey with the SessionGate module.

    from redis import Redis
    from sessiongate import Gate

    gate = Gate(Redis(), sign_keys=[b"a secret of 32 random bytes"])
    session = gate.session(token_of_the_cookie)
    session["cart"] = ["tea"]
    session.save()
    session.token

sessiongate.asyncio has the same for asyncio; sessiongate.django, sessiongate.flask and
sessiongate.starlette put it behind the framework's own sessions.
"""

from .commands import Device, Info
from .errors import (
    BadArgument,
    BadPayload,
    BadSignature,
    BadToken,
    BusyToken,
    ClusterDown,
    LockTimeout,
    NoPayload,
    NoSession,
    NoSlot,
    NotLoaded,
    SessionGateError,
    TryAgain,
    WrongType,
)
from .gate import Gate, Session
from .payloads import JSON, Payloads, Serializer
from .tokens import Verified

__version__ = "1.0.0"

__all__ = [
    "JSON",
    "BadArgument",
    "BadPayload",
    "BadSignature",
    "BadToken",
    "BusyToken",
    "ClusterDown",
    "Device",
    "Gate",
    "Info",
    "LockTimeout",
    "NoPayload",
    "NoSession",
    "NoSlot",
    "NotLoaded",
    "Payloads",
    "Serializer",
    "Session",
    "SessionGateError",
    "TryAgain",
    "Verified",
    "WrongType",
]
