"""What the commands send and what their replies mean, without sending anything.

A method here is a generator, a Plan: it yields batches of commands and is sent the list of their
replies, an error being a reply as well, not raised; or it yields a number, to be called again after so
many seconds. gate.py and asyncio.py carry plans out, each in its way.
"""

from __future__ import annotations

import hashlib
import hmac
import operator
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from types import EllipsisType
from typing import Any, NamedTuple, TypeVar

from .errors import BadArgument, BadSignature, BadToken, BusyToken, NoPayload, NoSession, TryAgain
from .payloads import JSON, LOCK, Payloads, Serializer
from .tokens import Keyring, SignKey, Verified

Name = str | bytes
Command = tuple[Any, ...]
T = TypeVar("T")
Plan = Generator[list[Command] | float, Any, T]

LARGEST_NAME = 200
"""Bytes in a payload's name and in an owner."""

PATIENCE = 5.0
"""Seconds for which what was answered TRYAGAIN is sent again."""

_DEVICES_AT_ONCE = 100


class Info(NamedTuple):
    """What is known of a session besides its payloads."""

    created: datetime
    """When it was started, in UTC; a rotation keeps it."""
    ttl: float | None
    """Seconds left; None when it does not expire."""
    idle: float
    """Seconds that TOUCH restores."""
    deadline: datetime | None
    """The end that max_ttl set, in UTC."""
    payloads: int
    """How many there are."""
    size: int
    """Their names and data together."""
    owner: bytes | None
    """The owner it was started for."""


class Device(NamedTuple):
    """One of an owner's sessions, for a page "your devices"."""

    id: str
    """A hash of its token: may be shown, and is what end_session() takes."""
    started: datetime
    """In UTC."""
    current: bool
    """Whether it is the session that was named as the current one."""
    payloads: Payloads
    """What it holds."""


class Commands:
    """One application's access to its sessions: the sign keys, the policy, a plan a command."""

    def __init__(
        self,
        sign_keys: Sequence[SignKey],
        *,
        ttl: int,
        max_ttl: int | None,
        refresh: int,
        token_format: str,
        serializer: Serializer | None,
        cluster: bool,
    ) -> None:
        self.keyring = Keyring(sign_keys)
        if token_format not in ("v1", "v2"):
            raise BadArgument('token_format is "v1" or "v2"')
        self.ttl = operator.index(ttl)
        self.max_ttl = None if max_ttl is None else operator.index(max_ttl)
        if self.ttl < 1 or (self.max_ttl is not None and self.max_ttl < 1):
            raise BadArgument("ttl and max_ttl are whole numbers of seconds from 1 on")
        if operator.index(refresh) < 0:
            raise BadArgument("refresh is a whole number of seconds from 0 on")
        self.min_age = min(refresh, self.ttl // 10)
        self.token_format = token_format
        self.serializer: Serializer = serializer or JSON()
        self.cluster = cluster

    # Tokens

    def mint(self) -> str:
        return self.keyring.mint(self.token_format)

    def verify(self, token: str) -> Verified | None:
        return self.keyring.verify(token)

    # A session's start and end

    def start(
        self,
        *,
        ttl: int | None = None,
        max_ttl: int | None = None,
        payloads: Mapping[Name, bytes] | None = None,
    ) -> Plan[str]:
        """Start a session and return its token.

        ttl         seconds that it lives; the Gate's when not given
        max_ttl     seconds from now that it lives at most, however often it is refreshed
        payloads    what it starts with

        On a cluster the token is made here, and the session is adopted under it: that spreads sessions
        over the nodes, and may be sent again. Raises BadArgument.
        """
        if self.cluster:
            token = self.mint()
            yield from self.adopt_with(token, self.life(ttl, max_ttl, payloads))
            return token
        life = self.life(ttl, max_ttl, payloads)
        form = self.token_format.encode()
        key = self.keyring.keys[0]
        token = yield from _one("START", key, life[0], b"FORMAT", form, *life[1:])
        return _str(token)

    def adopt(
        self,
        token: str,
        *,
        ttl: int | None = None,
        max_ttl: int | None = None,
        payloads: Mapping[Name, bytes] | None = None,
    ) -> Plan[None]:
        """Start a session under a token that was made right before, by mint(). Otherwise as start().

        Raises BusyToken where a session of that token lives, BadToken, BadSignature, BadArgument.
        """
        yield from self._of(token, "ADOPT", *self.life(ttl, max_ttl, payloads))

    def adopt_with(self, token: str, life: Sequence[bytes]) -> Plan[bool]:
        """Adopt a token that nobody else has, and return whether it was free: where it was not, it was
        adopted by this very call, sent again by the driver, or by an earlier one whose reply was lost."""
        try:
            yield from self._of(token, "ADOPT", *life)
        except BusyToken:
            return False
        return True

    def end(self, token: str) -> Plan[None]:
        """End a session. Raises NoSession where there is none, BadToken, BadSignature."""
        yield from self._of(token, "END")

    # Payloads

    def pset(
        self,
        token: str,
        name: Name,
        data: bytes,
        *,
        nx: bool = False,
        xx: bool = False,
        if_equal: bytes | None = None,
        ex: int | None = None,
        px: int | None = None,
    ) -> Plan[bool]:
        """Set a payload, and return whether it was set.

        nx          only where there is no payload of that name
        xx          only where there is one
        if_equal    only where there is one with exactly these bytes
        ex, px      seconds, or milliseconds, after which it is gone; otherwise it lasts as long as the
                    session, whatever life it had

        One of the conditions at most, and one of the lives. Raises NoSession, BadToken, BadSignature,
        BadArgument.
        """
        if bool(nx) + bool(xx) + (if_equal is not None) > 1:
            raise BadArgument("of nx, xx and if_equal there is one at most")
        if ex is not None and px is not None:
            raise BadArgument("of ex and px there is one at most")
        options = [b"NX"] * bool(nx) + [b"XX"] * bool(xx) + _if_equal(if_equal)
        if ex is not None:
            options += [b"EX", _whole(ex)]
        if px is not None:
            options += [b"PX", _whole(px)]
        reply = yield from self._of(token, "PSET", name_bytes(name), data, *options)
        return reply is not None

    def pmset(self, token: str, payloads: Mapping[Name, bytes]) -> Plan[None]:
        """Set payloads, all or none. Raises NoSession, BadToken, BadSignature, BadArgument."""
        yield from self._of(token, "PMSET", *_pairs(payloads))

    def pget(self, token: str, name: Name) -> Plan[bytes]:
        """The data of a payload. Raises NoPayload, NoSession, BadToken, BadSignature."""
        data: bytes = yield from self._of(token, "PGET", name_bytes(name))
        return data

    def pmget(self, token: str, names: Iterable[Name]) -> Plan[list[bytes | None]]:
        """The data of payloads in the order of the names, None where there is none.

        Raises NoSession, BadToken, BadSignature, BadArgument.
        """
        data: list[bytes | None] = yield from self._of(token, "PMGET", *map(name_bytes, names))
        return data

    def pgetall(self, token: str) -> Plan[dict[bytes, bytes]]:
        """All payloads. Raises NoSession, BadToken, BadSignature."""
        return _map((yield from self._of(token, "PGETALL")))

    def pdel(self, token: str, name: Name, *, if_equal: bytes | None = None) -> Plan[bool]:
        """Delete a payload, and return whether it was deleted.

        if_equal    only where it has exactly these bytes; without it a payload that is not there raises
                    NoPayload

        Raises NoPayload, NoSession, BadToken, BadSignature, BadArgument.
        """
        reply = yield from self._of(token, "PDEL", name_bytes(name), *_if_equal(if_equal))
        return reply is not None

    def ppop(self, token: str, name: Name) -> Plan[bytes]:
        """Delete a payload and return its data; of many who ask, one gets it.

        Raises NoPayload, NoSession, BadToken, BadSignature.
        """
        data: bytes = yield from self._of(token, "PPOP", name_bytes(name))
        return data

    def pttl(self, token: str, name: Name) -> Plan[int]:
        """The milliseconds that a payload has left; -1 where it lasts as long as the session.

        Raises NoPayload, NoSession, BadToken, BadSignature.
        """
        milliseconds: int = yield from self._of(token, "PTTL", name_bytes(name))
        return milliseconds

    # Life

    def ttl_of(self, token: str) -> Plan[int]:
        """The seconds that a session has left; -1 where it does not expire.

        Raises NoSession, BadToken, BadSignature.
        """
        seconds: int = yield from self._of(token, "TTL")
        return seconds

    def info(self, token: str) -> Plan[Info]:
        """What is known of a session besides its payloads. Raises NoSession, BadToken, BadSignature."""
        return _info((yield from self._of(token, "INFO")))

    def expire(self, token: str, ttl: int) -> Plan[None]:
        """Set the remaining life of a session, in seconds; 0 ends it.

        Raises NoSession, BadToken, BadSignature, BadArgument.
        """
        yield from self._of(token, "EXPIRE", _whole(ttl))

    def touch(self, token: str, *, min_age: int | None = None) -> Plan[int]:
        """Restore the life of a session, and return the seconds left.

        min_age    do nothing where it was started or refreshed less than that many seconds ago

        Raises NoSession, BadToken, BadSignature, BadArgument.
        """
        options = () if min_age is None else (b"MINAGE", _whole(min_age))
        seconds: int = yield from self._of(token, "TOUCH", *options)
        return seconds

    def rotate(
        self, token: str, *, grace: int = 0, ttl: int | None = None, max_ttl: int | None = None
    ) -> Plan[str]:
        """Give a session a new token, signed with the newest sign key, and return it.

        grace      seconds, 300 at most, for which the old token leads to the session as well; at a
                   login none, or whoever planted the old token has the new one
        ttl        seconds that the session lives from now on; as before when not given
        max_ttl    a new deadline, in seconds from now; the old one when not given

        Raises NoSession, BadToken, BadSignature, BadArgument.
        """
        options: list[bytes] = []
        if self.keyring.position(token) > 0:
            options += [b"NEWKEY", self.keyring.keys[0]]
        if grace:
            options += [b"GRACE", _whole(grace)]
        if ttl is not None:
            options += [b"TTL", _whole(ttl)]
        if max_ttl is not None:
            options += [b"MAXTTL", _whole(max_ttl)]
        return _str((yield from self._of(token, "ROTATE", *options)))

    # Owners

    def ostart(
        self,
        owner: Name,
        *,
        ttl: int | None = None,
        max_ttl: int | None = None,
        limit: int | None = None,
        payloads: Mapping[Name, bytes] | None = None,
    ) -> Plan[str]:
        """Start a session of an owner and return its token.

        owner    1 to 200 bytes, `user:42` for instance
        limit    how many sessions of the newest sign key the owner may have: the oldest end

        Otherwise as start(). Raises BadArgument.
        """
        return (yield from self.ostart_with(owner, self.life(ttl, max_ttl, payloads), limit))

    def ostart_with(self, owner: Name, life: Sequence[bytes], limit: int | None) -> Plan[str]:
        limited = () if limit is None else (b"LIMIT", _whole(limit))
        key = self.keyring.keys[0]
        return _str((yield from _one("OSTART", key, name_bytes(owner), life[0], *limited, *life[1:])))

    def olist(self, owner: Name) -> Plan[list[str]]:
        """The tokens of an owner's sessions, the oldest start first; those of older sign keys come
        before those of newer ones. Raises BadArgument."""
        oldest_first = self.keyring.keys[::-1]
        replies = yield from _exchange([_command("OLIST", k, name_bytes(owner)) for k in oldest_first])
        return [_str(token) for reply in replies for token in _checked(reply)]

    def oend(self, owner: Name, *, keep: str | None = None) -> Plan[int]:
        """End all sessions of an owner, and return how many there were.

        keep    the token of the one that goes on; one that leads to no living session of the owner
                raises BadToken, BadSignature or NoSession, and nothing ends

        With several sign keys one command is sent for each, that of `keep` first. Raises BadArgument.
        """
        keys = list(self.keyring.keys)
        ended = 0
        if keep is not None:
            key = keys.pop(self.keyring.position(keep))
            ended = yield from _one("OEND", key, name_bytes(owner), b"KEEP", keep.encode())
        if keys:
            replies = yield from _exchange([_command("OEND", key, name_bytes(owner)) for key in keys])
            ended += sum(_checked(reply) for reply in replies)
        return ended

    def sessions(self, owner: Name, *, current: str | None = None) -> Plan[list[Device]]:
        """The owner's sessions, as olist() orders them.

        current    the token of the session that asks

        Raises BadArgument.
        """
        tokens = yield from self.olist(owner)
        devices = []
        for first in range(0, len(tokens), _DEVICES_AT_ONCE):
            some = tokens[first : first + _DEVICES_AT_ONCE]
            addresses = [self._address(token) for token in some]
            asked = [_command(word, *each) for each in addresses for word in ("PGETALL", "INFO")]
            replies = yield from _exchange(asked)
            for token, stored, info in zip(some, replies[::2], replies[1::2], strict=True):
                if not isinstance(stored, NoSession) and not isinstance(info, NoSession):
                    payloads = Payloads(_map(_checked(stored)), self.serializer)
                    started = _info(_checked(info)).created
                    devices.append(Device(_id(token), started, token == current, payloads))
        return devices

    def end_session(self, owner: Name, id: str) -> Plan[bool]:
        """End the owner's session of that Device.id, and return whether there was one.

        Raises BadArgument.
        """
        if not isinstance(id, str):
            return False
        for token in (yield from self.olist(owner)):
            if hmac.compare_digest(_id(token).encode(), id.encode("utf-8", "replace")):
                try:
                    yield from self.end(token)
                except NoSession:
                    return False
                return True
        return False

    def end_all(self, owner: Name, *, keep: str | EllipsisType | None = ...) -> Plan[int]:
        """Log the owner out everywhere, and return how many sessions that ended.

        keep    as oend()'s; None, the token of a session that is not stored, raises NoSession
        """
        if keep is None:
            raise NoSession()
        return (yield from self.oend(owner, keep=None if isinstance(keep, EllipsisType) else keep))

    # What a Session needs in one round trip

    def load(self, token: str) -> Plan[tuple[dict[bytes, bytes], int | None] | None]:
        """The payloads of a session that is refreshed where it is due, and the seconds that it has left;
        None where there is none.

        A refresh that fails, as on a replica or out of memory, does not fail the load.
        """
        try:
            address = self._address(token)
        except (BadToken, BadSignature):
            return None
        touch = _command("TOUCH", *address, b"MINAGE", _whole(self.min_age))
        stored, left = yield from _exchange([_command("PGETALL", *address), touch])
        if isinstance(stored, NoSession):
            return None
        return _map(_checked(stored)), None if isinstance(left, Exception) else left

    def update(
        self, token: str, sets: Mapping[str, bytes], deletes: Iterable[str], ttl: int | None
    ) -> Plan[None]:
        """Set, delete and, where a ttl is given, set the life: one round trip, not one transaction."""
        address = self._address(token)
        batch = [_command("PMSET", *address, *_pairs(sets))] if sets else []
        batch += [_command("PDEL", *address, name_bytes(name)) for name in deletes]
        deleted = range(bool(sets), len(batch))
        if ttl is not None:
            batch.append(_command("EXPIRE", *address, _whole(ttl)))
        replies = yield from _exchange(batch)
        for index, reply in enumerate(replies):
            if not (index in deleted and isinstance(reply, NoPayload)):
                _checked(reply)

    def lock(
        self, token: str, name: bytes, value: bytes, milliseconds: int
    ) -> Plan[dict[bytes, bytes] | None]:
        """Set the payload of a lock where there is none, and return all payloads as they are under it;
        None where somebody else has it.

        What was read shows the value, so it was read under the lock. The reply to PSET cannot say that:
        sent again by the driver it finds what it has set itself.
        """
        address = self._address(token)
        pset = _command("PSET", *address, name, value, b"NX", b"PX", _whole(milliseconds))
        was_set, stored = yield from _exchange([pset, _command("PGETALL", *address)])
        _checked(was_set)
        payloads = _map(_checked(stored))
        return payloads if payloads.get(name) == value else None

    def load_with_lives(
        self, token: str, names: Sequence[bytes]
    ) -> Plan[tuple[dict[bytes, bytes], dict[bytes, int], Info]]:
        """The payloads of a session but for its locks, the milliseconds left of those that have a life of
        their own, and what else is known of it.

        names    of its payloads, as far as they are known: where others have come, it takes a second
                 round trip
        """
        address = self._address(token)
        batch = [_command("PGETALL", *address), _command("INFO", *address)]
        batch += [_command("PTTL", *address, name) for name in names]
        stored, info, *left = yield from _exchange(batch)
        payloads = {n: data for n, data in _map(_checked(stored)).items() if not n.startswith(LOCK)}
        about = _info(_checked(info))
        new = list(payloads.keys() - set(names))
        if new:
            left += yield from _exchange([_command("PTTL", *address, name) for name in new])
        lives = {}
        for name, milliseconds in zip([*names, *new], left, strict=True):
            if isinstance(milliseconds, NoPayload):
                payloads.pop(name, None)  # over meanwhile
            elif _checked(milliseconds) >= 0:
                lives[name] = max(1, milliseconds)
        return payloads, lives, about

    def set_with_lives(self, token: str, payloads: Mapping[bytes, tuple[bytes, int]]) -> Plan[None]:
        """Set payloads with the milliseconds that they have left."""
        if payloads:
            address = self._address(token)
            batch = [
                _command("PSET", *address, name, data, b"PX", _whole(milliseconds))
                for name, (data, milliseconds) in payloads.items()
            ]
            for reply in (yield from _exchange(batch)):
                _checked(reply)

    # How a command is made

    def life(self, ttl: int | None, max_ttl: int | None, payloads: Mapping[Any, bytes] | None) -> list[bytes]:
        """The arguments from <ttl> on of a command that starts a session."""
        life = [_whole(self.ttl if ttl is None else ttl)]
        max_ttl = self.max_ttl if max_ttl is None else max_ttl
        if max_ttl is not None:
            life += [b"MAXTTL", _whole(max_ttl)]
        if payloads:
            life += [b"PAYLOADS", _whole(len(payloads)), *_pairs(payloads)]
        return life

    def _address(self, token: str) -> tuple[SignKey, bytes]:
        """A token with its sign key, as every command on it begins; raises BadToken or BadSignature."""
        return self.keyring.keys[self.keyring.position(token)], token.encode()

    def _of(self, token: str, word: str, *arguments: bytes) -> Plan[Any]:
        return (yield from _one(word, *self._address(token), *arguments))


def _command(word: str, key: SignKey, *arguments: bytes) -> Command:
    return ("SESSIONGATE." + word, key, *arguments)


def _one(word: str, key: SignKey, *arguments: bytes) -> Plan[Any]:
    (reply,) = yield from _exchange([_command(word, key, *arguments)])
    return _checked(reply)


def _exchange(batch: list[Command]) -> Plan[list[Any]]:
    """The replies to a batch, errors among them. What was answered TRYAGAIN is sent again."""
    replies: list[Any] = yield batch
    give_up_at, pause = 0.0, 0.01
    while refused := [index for index, reply in enumerate(replies) if isinstance(reply, TryAgain)]:
        give_up_at = give_up_at or time.monotonic() + PATIENCE
        if time.monotonic() > give_up_at:
            break
        yield pause
        pause = min(2 * pause, 0.2)
        again = yield [batch[index] for index in refused]
        for index, reply in zip(refused, again, strict=True):
            replies[index] = reply
    return replies


def _checked(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


# Arguments and replies


def name_bytes(name: Name) -> bytes:
    if isinstance(name, str):
        return name.encode("utf-8", "surrogateescape")
    if isinstance(name, bytes):
        return name
    raise TypeError("a name is str or bytes")


def _if_equal(data: bytes | None) -> list[bytes]:
    return [] if data is None else [b"IFEQ", data]


def _pairs(payloads: Mapping[Any, bytes]) -> list[bytes]:
    return [each for name, data in payloads.items() for each in (name_bytes(name), data)]


def _whole(number: int) -> bytes:
    return b"%d" % operator.index(number)


def _str(token: bytes) -> str:
    return token.decode("ascii")


def _map(reply: Any) -> dict[bytes, Any]:
    """A map, which RESP2 spells as an array of names and values by turns."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _info(reply: Any) -> Info:
    fields = _map(reply)
    ttl = fields[b"ttl"]
    deadline = fields[b"deadline"]
    return Info(
        created=_time(fields[b"created"]),
        ttl=None if ttl < 0 else ttl / 1000,
        idle=fields[b"idle"] / 1000,
        deadline=_time(deadline) if deadline else None,
        payloads=fields[b"payloads"],
        size=fields[b"bytes"],
        owner=fields.get(b"owner"),
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=milliseconds)


def _id(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]
