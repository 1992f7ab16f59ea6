"""One session as an application uses it: what was loaded, what has changed, how it is saved.

SessionState holds that and sends nothing; the functions below it are plans (see commands.py), which
the Session of gate.py and that of asyncio.py carry out.
"""

from __future__ import annotations

import contextlib
import math
import random
import secrets
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

from .commands import LARGEST_NAME, Commands, Name, Plan, name_bytes
from .errors import BadArgument, LockTimeout, NoPayload, NoSession
from .payloads import LOCK, Payloads

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1
"""Seconds between two tries to have a lock."""


class SessionState(Payloads, MutableMapping[str, Any]):
    """A mapping of names, str of 1 to 200 bytes, to values that the serializer takes, JSON as a rule.

    Changes stay here until save(); those inside a value, of a list say, are noticed as well.
    """

    def __init__(self, commands: Commands, token: str | None) -> None:
        super().__init__({}, commands.serializer)
        self._commands = commands
        self._token = token  # of the session that is stored; None: there is none
        self._loaded = token is None
        self._deleted: set[str] = set()
        self._has_ended = False
        self._seconds_left: int | None = None  # when it was loaded and refreshed; None: not known
        self._tried: tuple[str, set[str]] | None = None  # token and names of a first save that failed
        self._replaced: list[str] = []  # tokens of before a login, to be ended

    def _ensure_loaded(self) -> None:
        """Called before the mapping is looked at."""

    # The mapping

    def __getitem__(self, name: str) -> Any:
        self._ensure_loaded()
        if name in self._deleted:
            raise KeyError(name)
        return super().__getitem__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        self._ensure_loaded()
        self._values[name] = value
        self._deleted.discard(name)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._forget(name)
        if name in self._stored:
            self._deleted.add(name)

    def __contains__(self, name: object) -> bool:
        self._ensure_loaded()
        return name in self._values or (name in self._stored and name not in self._deleted)

    def __iter__(self) -> Iterator[str]:
        self._ensure_loaded()
        stored = [name for name in self._stored if name not in self._deleted]
        return iter(stored + [name for name in self._values if name not in self._stored])

    def __len__(self) -> int:
        self._ensure_loaded()
        new = sum(name not in self._stored for name in self._values)
        return len(self._stored) - len(self._deleted) + new

    def clear(self) -> None:
        """Delete every payload."""
        for name in list(self):
            del self[name]

    def __repr__(self) -> str:
        if not self._loaded:
            return f"<{type(self).__name__}, not loaded>"
        return f"<{type(self).__name__}, {'new' if self.is_new else 'stored'}, {len(self)} payloads>"

    # What the server has of it

    @property
    def token(self) -> str | None:
        """The token to hand to the visitor; None as long as nothing is stored."""
        self._ensure_loaded()
        return self._token

    @property
    def is_new(self) -> bool:
        """Whether it is not stored yet: there was no token, or none of a living session."""
        self._ensure_loaded()
        return self._token is None

    @property
    def is_loaded(self) -> bool:
        """Whether the mapping was looked at, so that the server was asked."""
        return self._loaded

    @property
    def is_emptied(self) -> bool:
        """Whether it is stored, and its last payload was deleted and that not saved yet. One whose name
        is no UTF-8 cannot be seen here, and counts."""
        return self._token is not None and bool(self._deleted) and len(self) == 0 and not self._unseen

    @property
    def has_ended(self) -> bool:
        """Whether end() was called on it while it was stored, so that its cookie may be deleted."""
        return self._has_ended

    def changes(self) -> tuple[dict[str, bytes], list[str]]:
        """What save() would set and delete: ({name: data}, [name])."""
        sets = {}
        for name, value in self._values.items():
            data = self._serializer.dumps(value)
            stored = self._stored.get(name)
            if stored is None or (data != stored and data != self._spelt_here(stored)):
                sets[name] = data
        return sets, sorted(self._deleted)

    def _spelt_here(self, stored: bytes) -> bytes | None:
        """What was loaded, serialized again: another language spells the same value otherwise."""
        try:
            return self._serializer.dumps(self._serializer.loads(stored))
        except Exception:
            return None

    def _forget(self, name: str) -> None:
        self._values.pop(name, None)

    def _saved(self, token: str | None, sets: dict[str, bytes], deletes: list[str]) -> None:
        """The server has it, and has carried out these changes."""
        self._token = token
        self._tried = None
        self._stored.update(sets)
        for name in deletes:
            self._stored.pop(name, None)
        self._deleted.difference_update(deletes)
        self._deleted.update(name for name in sets if name not in self._values)  # deleted meanwhile

    def _renew(self, stored: dict[bytes, bytes]) -> None:
        """Take over what the server has now, and keep the application's own changes."""
        sets, deletes = self.changes()
        before = self._stored
        self._store(stored)
        for name in list(self._values):
            if name not in sets and self._stored.get(name) != before.get(name):
                self._forget(name)
        self._deleted = {name for name in deletes if name in self._stored}

    def _forget_changes(self) -> None:
        self._values.clear()
        self._deleted.clear()

    def _forget_all(self) -> None:
        self._token = self._tried = None
        self._loaded = True
        self._store({})
        self._values.clear()
        self._deleted.clear()


def _check_name(name: Any) -> None:
    if _text_bytes(name, "payload", LARGEST_NAME).startswith(LOCK):
        raise BadArgument("a name that begins with the byte 0 and lock: is that of a lock")


def _text_bytes(name: Any, of: str, largest: int) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"the name of a {of} is a str")
    try:
        text = name.encode()
    except UnicodeEncodeError:
        text = b""
    if not 1 <= len(text) <= largest:
        raise BadArgument(f"the name of a {of} is 1 to {largest} bytes of UTF-8")
    return text


class Lock:
    """One lock of a session, which is a payload with a life of its own."""

    def __init__(self, name: str, seconds: float, wait: float | None) -> None:
        self.name = LOCK + _text_bytes(name, "lock", LARGEST_NAME - len(LOCK))
        if not 0.001 <= seconds < math.inf:
            raise BadArgument("a lock lives for at least 0.001 seconds, and not for ever")
        self.milliseconds = round(seconds * 1000)
        self.wait = seconds if wait is None else wait
        if not self.wait >= 0:
            raise BadArgument("the wait for a lock is a number of seconds from 0 on")
        self.value = secrets.token_hex(16).encode()  # nobody else's, so that only we release it
        self.was_asked_for = False


def load(session: SessionState) -> Plan[None]:
    """Ask for the session, and refresh its life where that is due."""
    if session._loaded or session._token is None:
        return
    found = yield from session._commands.load(session._token)
    if found is None:
        session._token = None
    stored, session._seconds_left = found or ({}, None)
    session._store(stored)
    session._loaded = True


def save(
    session: SessionState, *, ttl: int | None = None, even_if_empty: bool = False, confirm: bool = False
) -> Plan[None]:
    """Store what has changed, in one round trip; where nothing has, nothing is sent.

    ttl              also set the life, in seconds; without it, a new session has the Gate's, and that
                     of a stored one stays as it is
    even_if_empty    store a new session that holds nothing, too
    confirm          where nothing has changed, ask whether the session still lives: before its token is
                     handed out once more, which could log out a newer login

    A new session gets its token here. One that was loaded is only ever updated: raises NoSession where
    it has ended meanwhile. Sets and deletes travel together, but are no transaction.
    """
    if not session._loaded:
        return
    sets, deletes = session.changes()
    token = session._token
    commands = session._commands
    if token is None:
        if not sets and not even_if_empty:
            return
        token = yield from _adopt(session, sets, ttl)
    elif sets or deletes or ttl is not None:
        yield from commands.update(token, sets, deletes, ttl)
    elif confirm:
        yield from commands.ttl_of(token)
    session._saved(token, sets, deletes)
    yield from _end_replaced(session)


def _adopt(session: SessionState, sets: dict[str, bytes], ttl: int | None) -> Plan[str]:
    """Store a new session, and return its token: that of a save whose reply was lost, which may have
    stored it, or a new one."""
    commands = session._commands
    is_first = session._tried is None
    token, names = session._tried or (commands.mint(), set())
    session._tried = token, names | sets.keys()
    adopted = yield from commands.adopt_with(token, commands.life(ttl, None, sets))
    if not adopted and not is_first:
        yield from commands.update(token, sets, sorted(names - sets.keys()), ttl)
    return token


def take(session: SessionState, name: str) -> Plan[Any]:
    """Delete a payload at the server and return its value: of many requests that ask, one gets it.

    What this session has set and not saved yet is taken from here. Raises NoPayload, NoSession,
    BadPayload, BadArgument.
    """
    _check_name(name)
    yield from load(session)
    sets, _ = session.changes()
    if session._token is None or name in sets or name in session._deleted:
        if name not in session:
            raise NoPayload()
        value = session[name]
        del session[name]
        return value
    data = yield from session._commands.ppop(session._token, name)
    session._forget(name)
    session._stored.pop(name, None)
    return Payloads({name.encode(): data}, session._serializer)[name]


def rotate(session: SessionState) -> Plan[None]:
    """Give the session a new token; the old one is dead at once. For a login without an owner.

    A new session needs none. Raises NoSession.
    """
    yield from load(session)
    if session._token is not None:
        session._token = yield from session._commands.rotate(session._token)


def login(
    session: SessionState,
    owner: Name,
    *,
    limit: int | None = None,
    ttl: int | None = None,
    same: str = "rotate",
) -> Plan[None]:
    """Make it a session of that owner: a new token with what the session holds; the old one ends.

    owner    1 to 200 bytes, `user:42` for instance
    limit    how many sessions the owner may have: the oldest end
    ttl      seconds that it lives; the Gate's when not given
    same     what is done where the session is that owner's already: "rotate", or "keep" its token

    Payloads are read afresh, so that nothing is lost of what another request wrote, and keep what is left
    of a life of their own; changes that were not saved yet go along, locks do not. Raises NoSession where
    the session has ended meanwhile, and nobody is logged in then; BadArgument. Where the old one cannot be
    ended, as the connection is lost right then, it raises the driver's error, and the next save, login or
    end ends it.
    """
    commands = session._commands
    yield from load(session)
    old = session._token
    stored: dict[bytes, bytes] = {}
    lives: dict[bytes, int] = {}
    if old is not None:
        names = [*map(str.encode, session._stored), *session._unseen]
        stored, lives, info = yield from commands.load_with_lives(old, names)
        session._renew(stored)
        if info.owner == name_bytes(owner):
            if same == "rotate":
                yield from rotate(session)
            yield from _end_replaced(session)
            return
    sets, deletes = session.changes()
    changed = {name.encode() for name in (*sets, *deletes)}
    kept = {name: data for name, data in stored.items() if name not in changed}
    lasting = {name: data for name, data in kept.items() if name not in lives}
    lasting |= {name.encode(): data for name, data in sets.items()}
    token = yield from commands.ostart_with(owner, commands.life(ttl, None, lasting), limit)
    yield from commands.set_with_lives(token, {n: (kept[n], lives[n]) for n in kept if n in lives})
    session._saved(token, sets, deletes)
    if old is not None:
        session._replaced.append(old)
    yield from _end_replaced(session)


def end(session: SessionState) -> Plan[None]:
    """End the session, if it has not ended yet. The mapping is a new, empty session then."""
    yield from _end_replaced(session)
    token = session._token
    if token is not None and session._commands.verify(token) is not None:
        yield from _end_quietly(session._commands, token)
        session._has_ended = True
    session._forget_all()


def acquire(session: SessionState, lock: Lock) -> Plan[None]:
    """Wait until the session's lock is ours, and take over what the session holds by then. A session
    that is not stored needs none. Raises LockTimeout, NoSession."""
    token = session._token
    if token is None:
        return
    lock.was_asked_for = True
    give_up_at = time.monotonic() + lock.wait
    pause = _SHORTEST_PAUSE
    while True:
        stored = yield from session._commands.lock(token, lock.name, lock.value, lock.milliseconds)
        if stored is not None:
            session._renew(stored)
            return
        left = give_up_at - time.monotonic()
        if left <= 0:
            raise LockTimeout()
        yield min(left, pause * random.uniform(0.5, 1))  # or those who wait would ask all at once
        pause = min(2 * pause, _LONGEST_PAUSE)


def release(session: SessionState, lock: Lock) -> Plan[None]:
    """Delete the lock if it is ours. One that has ended by itself is not, and that is no error."""
    token = session._token  # a rotation has taken the lock along
    if lock.was_asked_for and token is not None:
        with contextlib.suppress(NoSession):
            yield from session._commands.pdel(token, lock.name, if_equal=lock.value)


def _end_replaced(session: SessionState) -> Plan[None]:
    """End what logins have replaced, as far as that is not done."""
    while session._replaced:
        yield from _end_quietly(session._commands, session._replaced[0])
        del session._replaced[0]


def _end_quietly(commands: Commands, token: str) -> Plan[None]:
    with contextlib.suppress(NoSession):
        yield from commands.end(token)
