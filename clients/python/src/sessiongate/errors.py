"""Errors are types, one a code of the module, under SessionGateError.

What the driver itself raises (a lost connection, a timeout, READONLY, OOM, NOPERM) keeps the driver's
type. No error holds a sign key or a token: not in its text, its arguments, its cause or its traceback.
"""

from __future__ import annotations

__all__ = [
    "BadArgument",
    "BadPayload",
    "BadSignature",
    "BadToken",
    "BusyToken",
    "ClusterDown",
    "LockTimeout",
    "NoPayload",
    "NoSession",
    "NoSlot",
    "NotLoaded",
    "SessionGateError",
    "TryAgain",
    "WrongType",
]


class SessionGateError(Exception):
    """The base of all errors of this library."""

    sentence = ""

    def __init__(self, text: str = "") -> None:
        super().__init__(text or self.sentence)


class BadToken(SessionGateError):
    """The token is not of a token's form (BADTOKEN)."""

    sentence = "the token is not of a token's form"


class BadSignature(SessionGateError):
    """The token is not signed with any of the sign keys (BADSIGNATURE)."""

    sentence = "the token is not signed with any of the sign keys"


class NoSession(SessionGateError):
    """There is no such session: it was never started, was ended, or expired (NOSESSION)."""

    sentence = "no such session: it was never started, was ended, or expired"


class NoPayload(SessionGateError):
    """The session has no payload of that name (NOPAYLOAD)."""

    sentence = "the session has no payload of that name"


class BusyToken(SessionGateError):
    """A session of that token lives already (BUSYTOKEN)."""

    sentence = "a session of the token lives already"


class WrongType(SessionGateError):
    """The key of that name holds something else (WRONGTYPE)."""

    sentence = "the key holds another kind of value"


class NoSlot(SessionGateError):
    """The node serves no hash slot where a session could be started (NOSLOT)."""

    sentence = "the node serves no hash slot where a session could be started"


class TryAgain(SessionGateError):
    """The hash slot is being moved, and still was after five seconds of trying (TRYAGAIN)."""

    sentence = "the hash slot is being moved"


class ClusterDown(SessionGateError):
    """The cluster is down (CLUSTERDOWN)."""

    sentence = "the cluster is down"


class BadArgument(SessionGateError, ValueError):
    """An argument is wrong (ERR): the text says which, and what it may be."""

    sentence = "an argument is wrong"


class BadPayload(SessionGateError, ValueError):
    """A payload is not what the serializer reads."""

    sentence = "a payload is not what the serializer reads"


class LockTimeout(SessionGateError):
    """Somebody else had the lock for as long as was waited (LOCKTIMEOUT)."""

    sentence = "somebody else had the lock for as long as was waited"


class NotLoaded(SessionGateError):
    """The server does not know the command: it has not loaded SessionGate, or an older one."""

    sentence = "the server does not know the command: it has not loaded SessionGate, or an older one"


# The first word of a reply, or the name of the class that the driver has made of it.
_BY_CODE: dict[str, type[SessionGateError]] = {
    "BADTOKEN": BadToken,
    "BADSIGNATURE": BadSignature,
    "NOSESSION": NoSession,
    "NOPAYLOAD": NoPayload,
    "BUSYTOKEN": BusyToken,
    "WRONGTYPE": WrongType,
    "NOSLOT": NoSlot,
    "TRYAGAIN": TryAgain,
    "TryAgainError": TryAgain,
    "CLUSTERDOWN": ClusterDown,
    "ClusterDownError": ClusterDown,
    "ERR": BadArgument,
}


def from_driver(error: Exception) -> Exception:
    """A new error that says what the driver's does, with nothing of the driver's hanging on it.

    The driver's own may hold the arguments of the command that failed: in its text, in the frames of
    its traceback, in what it was raised from.
    """
    kind = type(error)
    text = str(error)
    if kind.__name__ == "ClusterError" and text.startswith("TTL exhausted"):
        return TryAgain()  # redis-py has followed the slot's redirections for 0.4 seconds
    if _is_reply(kind):
        if "unknown command" in text.lower():
            return NotLoaded()  # the server repeats the first arguments
        code, _, sentence = text.partition(" ")
        ours = _BY_CODE.get(kind.__name__) or _BY_CODE.get(code)
        if ours is BadArgument:
            return BadArgument(sentence)
        if ours is not None:
            return ours()
        if kind.__name__ == "ResponseError" and not code.isupper():
            return BadArgument(text)  # the driver takes the word ERR off
    return _copy(kind, text.partition("SESSIONGATE.")[0])  # a driver's text may hold the command


def _is_reply(kind: type[Exception]) -> bool:
    """Whether the driver, whichever it is, made the error of an error reply of the server."""
    return any(base.__name__ == "ResponseError" for base in kind.__mro__)


def _copy(kind: type[Exception], text: str) -> Exception:
    """An error of that type, or of its nearest base that is made of a text alone."""
    for base in kind.__mro__:
        try:
            return base(text)  # type: ignore[no-any-return]
        except Exception:
            continue
    return SessionGateError(text)
