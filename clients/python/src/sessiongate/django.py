"""Django's sessions in SessionGate.

    SESSION_ENGINE = "sessiongate.django"
    SESSIONGATE = {"LOCATION": "redis://127.0.0.1:6379"}

The README lists what SESSIONGATE may hold. A session is a key of the server, its items are payloads:
requests that change different items of one session both win, and only what has changed is sent.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from . import connection
from .commands import Device
from .errors import BadSignature, BadToken, NoSession
from .gate import Gate, Session
from .tokens import SignKey, has_form, seal

__all__ = ["SessionStore", "end_session", "end_sessions", "gate", "sessions_of"]

_EXPIRY = "_session_expiry"  # Django's own item: seconds, or a date in ISO 8601

_DEFAULTS: dict[str, Any] = {
    "LOCATION": None,
    "CLUSTER": False,
    "OPTIONS": {},
    "CLIENT": None,
    "SIGN_KEYS": None,
    "MAX_TTL": None,
    "REFRESH": 60,
    "TOKEN_FORMAT": "v2",
    "SERIALIZER": None,
    "OWNERS": True,
    "LIMIT": None,
    "LEGACY": None,
}

_one_at_a_time = threading.RLock()  # or two threads would make a client each


@functools.cache
def _settings() -> dict[str, Any]:
    chosen = {**_DEFAULTS, **getattr(settings, "SESSIONGATE", {})}
    chosen["SIGN_KEYS"] = _sign_keys(chosen["SIGN_KEYS"])  # no traceback shows them from here on
    if chosen["SIGN_KEYS"] is None:
        raise ImproperlyConfigured('"SIGN_KEYS" of SESSIONGATE is a list of keys, not one key')
    unknown = sorted(set(chosen) - set(_DEFAULTS))
    if unknown:
        raise ImproperlyConfigured(f"SESSIONGATE has no setting {unknown[0]}")
    if not chosen["LOCATION"] and not chosen["CLIENT"]:
        raise ImproperlyConfigured('SESSIONGATE needs a "LOCATION", redis://127.0.0.1:6379 for instance')
    if chosen["LEGACY"] == __name__:
        raise ImproperlyConfigured('"LEGACY" of SESSIONGATE is the engine that you had before this one')
    return chosen


def gate() -> Gate:
    """The Gate that Django's sessions go through."""
    with _one_at_a_time:
        return _make_gate()


@functools.cache
def _make_gate() -> Gate:
    chosen = _settings()
    client = chosen["CLIENT"]
    if isinstance(client, str):
        client = import_string(client)
    if callable(client):
        client = client()
    serializer = chosen["SERIALIZER"]
    return Gate(
        client or connection.client(chosen["LOCATION"], chosen["CLUSTER"], **chosen["OPTIONS"]),
        chosen["SIGN_KEYS"],
        ttl=settings.SESSION_COOKIE_AGE,
        max_ttl=chosen["MAX_TTL"],
        refresh=chosen["REFRESH"],
        token_format=chosen["TOKEN_FORMAT"],
        serializer=import_string(serializer)() if serializer else None,
    )


def _sign_keys(given: list[str | bytes] | None) -> Sequence[SignKey] | None:
    """Those given, or one derived from each secret key: the server is never sent a SECRET_KEY. None where
    what is given is no list; it does not raise, as a traceback would show it."""
    if given is not None:
        if not isinstance(given, (list, tuple)):
            return None
        return seal([key.encode() if isinstance(key, str) else key for key in given])
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    derived = [salted_hmac("sessiongate.django", "sign key", secret=s, algorithm="sha256") for s in secrets]
    return seal([each.digest() for each in derived])


def _forget_settings(*, setting: str, **_: Any) -> None:
    if setting in ("SESSIONGATE", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "SESSION_COOKIE_AGE"):
        _settings.cache_clear()
        _make_gate.cache_clear()


setting_changed.connect(_forget_settings)


class SessionStore(SessionBase):
    """One request's session.

    The items are in `_session_cache`, as SessionBase has it: a Session, or as long as the session is
    still that of the LEGACY store, a dict.
    """

    _session_cache: MutableMapping[str, Any]
    _is_modified: bool

    def __init__(self, session_key: str | None = None) -> None:
        self._is_written = False  # items were, by [...] = or aset()
        super().__init__(session_key)
        self._came_with = session_key
        self._cycles = False  # cycle_key() was called, and the key has not changed yet
        self._expiry: Any = None  # as it was loaded
        self._legacy: SessionBase | None = None  # the session is that store's
        self._former: SessionBase | None = None  # it was, and ends there when it is stored here
        legacy = _settings()["LEGACY"]
        if legacy and session_key and not has_form(session_key):
            self._legacy = import_module(legacy).SessionStore(session_key)

    # The key

    def _get_present_key(self) -> str | None:
        if self._cycles:
            self._cycle_now()
        return self._session_key

    session_key = property(_get_present_key)

    def cycle_key(self) -> None:
        """Give the session a new key, and keep its items; the old key is dead then.

        That is when the session is saved or its key is read, whichever comes first: a login that follows
        makes a new session anyway. Raises SessionInterrupted there where the session has ended.
        """
        self._move_here()
        self._cycles = True
        self.modified = True

    def _cycle_now(self) -> None:
        self._cycles = False
        if self._stored() is None:
            self.create()
            return
        try:
            self._rotate()
        except UpdateError:  # a view is no place for it
            raise SessionInterrupted("The session was ended before it got a new key.") from None

    def _rotate(self) -> None:
        session = self._items()
        try:
            session.rotate()
        except NoSession:
            raise UpdateError from None
        self._session_key = session.token

    # Changes

    @property
    def modified(self) -> bool:
        """Whether there is something to save, and the cookie to be set again.

        Writing the value that is stored already is no change; setting this to True is one.
        """
        if self._is_written and not self._is_modified:
            self._is_modified = self._differs()
        return self._is_modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._is_modified = value
        self._is_written = self._is_written and value

    def _differs(self) -> bool:
        items = self._get_session()
        try:
            return not isinstance(items, Session) or items.is_new or any(items.changes())
        except Exception:
            return True  # what cannot be serialized is said by save()

    def __setitem__(self, key: str, value: Any) -> None:
        self._get_session()[key] = value
        self._is_written = True

    async def aset(self, key: str, value: Any) -> None:
        (await self._aget_session())[key] = value
        self._is_written = True

    # Loading

    def load(self) -> MutableMapping[str, Any]:  # type: ignore[override]
        if self._legacy is not None:
            items = self._legacy.load()
            if self._legacy.session_key is not None:
                return items
            self._legacy = self._session_key = None
        session = gate().session(self._session_key)
        session.load()
        if not session.is_new:
            self._expiry, is_over = _expiry_of(session)
            if is_over:
                session.end()  # a date is not prolonged by being used; the life at the server is
            elif _is_due(session, self._expiry):
                with contextlib.suppress(NoSession):
                    gate().touch(str(session.token))
        if session.is_new:
            self._session_key = None
            self._expiry = None
        return session

    def _get_session(self, no_load: bool = False) -> MutableMapping[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            new = self._session_key is None or no_load
            self._session_cache = gate().session() if new else self.load()
        return self._session_cache

    _session = property(_get_session)

    async def _aget_session(self, no_load: bool = False) -> MutableMapping[str, Any]:
        if hasattr(self, "_session_cache"):
            return self._get_session()
        return await sync_to_async(self._get_session)(no_load)

    def _items(self) -> Session:
        """The items of a session that is not the LEGACY store's."""
        items = self._get_session()
        if not isinstance(items, Session):  # somebody has put a dict of his own there
            session = gate().session(self._session_key)
            session.clear()
            session.update(items)
            self._session_cache = items = session
        return items

    def _stored(self) -> str | None:
        """The token, if the session is stored."""
        items = self._get_session()
        return items.token if isinstance(items, Session) else None

    def clear(self) -> None:
        self._get_session().clear()
        self.modified = True

    # Saving

    def create(self) -> None:
        values = dict(getattr(self, "_session_cache", {}))
        self._session_cache = session = gate().session()
        session.update(values)
        self._session_key = self._legacy = None
        self.save(must_create=True)
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        if self._legacy is not None and not must_create:
            self._legacy._session_cache = dict(self._get_session())  # type: ignore[attr-defined]
            self._legacy.save()
            self._session_key = self._legacy.session_key  # signed_cookies' is what it holds
            return
        self._get_session(no_load=must_create)
        session = self._items()
        if must_create and not session.is_new:
            raise CreateError
        self._is_modified = self.modified  # what is stored by now was a change nevertheless
        expiry = session.get(_EXPIRY)
        ttl = None
        if session.is_new or expiry != self._expiry:
            ttl = max(0, self.get_expiry_age(expiry=expiry))
        if self._cycles and not session.is_new:
            self._rotate()
        self._cycles = False
        try:
            session.save(ttl=ttl, even_if_empty=True, confirm=session.token == self._came_with)
        except NoSession:
            raise UpdateError from None
        self._is_stored(session)

    def _is_stored(self, session: Session) -> None:
        self._session_key = session.token
        self._expiry = session.get(_EXPIRY)
        self._cycles = False
        if self._former is not None:
            self._former.delete()
            self._former = None

    def login(self, owner: str, *, limit: int | None = None) -> None:
        """Make it a session of that owner, under a new key; see sessiongate.Session.login().

        Raises SessionInterrupted where it has ended meanwhile.
        """
        self._move_here()
        session = self._items()
        ttl = max(1, self.get_expiry_age(expiry=session.get(_EXPIRY)))
        try:
            session.login(owner, limit=limit, ttl=ttl, same="rotate" if self._cycles else "keep")
        except NoSession:
            raise SessionInterrupted("The session was ended before the user was logged in.") from None
        self._is_stored(session)
        self.modified = True

    @contextlib.contextmanager
    def lock(self, name: str, seconds: float, *, wait: float | None = None) -> Iterator[SessionStore]:
        """Have the session's lock of that name for a block; see sessiongate.Session.lock().

        Raises SessionInterrupted where the session has ended, or ends within the block; LockTimeout. A
        session that is still the LEGACY store's has no locks: the block runs without.
        """
        session = self._get_session()
        if self._legacy is not None:
            yield self
            return
        in_block = False
        try:
            if self.modified and (session or not self._items().is_new):
                self.save()
            session = self._items()
            with session.lock(name, seconds, wait=wait):
                in_block = True
                yield self
                in_block = False
                self._is_modified = self.modified  # what is stored by now was a change nevertheless
                if self._get_session() is not session:
                    session._forget_changes()  # it was flushed
        except (NoSession, UpdateError):
            if in_block:
                raise
            raise SessionInterrupted("The session was ended while its lock was used.") from None
        if self._get_session() is session:
            self._session_key = session.token

    def _move_here(self) -> None:
        """Make a LEGACY store's session a new one of ours, to be stored with the next save."""
        items = self._get_session()
        if self._legacy is None:
            return
        self._former, self._legacy, self._session_key = self._legacy, None, None
        self._session_cache = session = gate().session()
        session.update(items)

    # Ending

    def exists(self, session_key: str | None) -> bool:
        if self._cycles:
            self._cycle_now()
        if not has_form(session_key):
            legacy = _settings()["LEGACY"]
            return bool(legacy and import_module(legacy).SessionStore().exists(session_key))
        try:
            gate().ttl(str(session_key))
        except (NoSession, BadSignature):
            return False
        return True

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self._session_key
        if key is None:
            return
        if not has_form(key):
            legacy = _settings()["LEGACY"]
            if legacy:
                import_module(legacy).SessionStore().delete(key)
            return
        try:
            gate().end(key)
        except (NoSession, BadToken, BadSignature):
            return

    def flush(self) -> None:
        if self._former is not None:
            self._former.delete()
        self.delete()
        self._session_key = None
        self._cycles = False
        self._legacy = self._former = self._expiry = None
        self._session_cache = gate().session()
        self.accessed = True
        self.modified = True

    @classmethod
    def clear_expired(cls) -> None:
        """Nothing: the server does it. The LEGACY store's own are cleared there."""
        legacy = _settings()["LEGACY"]
        if legacy:
            import_module(legacy).SessionStore.clear_expired()

    # The same for async views: a pool of connections belongs to a loop, a thread to all

    async def aload(self) -> MutableMapping[str, Any]:  # type: ignore[override]
        return await sync_to_async(self.load)()

    async def asave(self, must_create: bool = False) -> None:
        await sync_to_async(self.save)(must_create)

    async def acreate(self) -> None:
        await sync_to_async(self.create)()

    async def aexists(self, session_key: str | None) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    async def aflush(self) -> None:
        await sync_to_async(self.flush)()

    async def acycle_key(self) -> None:
        """As cycle_key(), at once: reading a key must not ask the server in a loop."""
        await sync_to_async(self.cycle_key)()
        await sync_to_async(self._get_present_key)()

    async def alogin(self, owner: str, *, limit: int | None = None) -> None:
        """As login()."""
        await sync_to_async(self.login)(owner, limit=limit)

    @classmethod
    async def aclear_expired(cls) -> None:
        await sync_to_async(cls.clear_expired)()


def _expiry_of(session: Session) -> tuple[Any, bool]:
    """What set_expiry() has stored, and whether that is past. What it cannot have stored is deleted: each
    request would fail of it."""
    try:
        expiry = session.get(_EXPIRY)
        if expiry is None or isinstance(expiry, int):
            return expiry, False
        return expiry, datetime.fromisoformat(expiry) <= timezone.now()
    except (TypeError, ValueError):  # BadPayload among them
        del session[_EXPIRY]
        return None, False


def _is_due(session: Session, expiry: Any) -> bool:
    """Whether a session whose life is shorter than the site's has lost a tenth of it: REFRESH is chosen
    for the site's."""
    left = session._seconds_left
    return isinstance(expiry, int) and left is not None and 0 <= 10 * left < 9 * expiry


# Users


def _owner(user: Any) -> str:
    return f"user:{user.pk}"


def _token(session: SessionStore | str | None) -> str | None:
    key = session.session_key if isinstance(session, SessionStore) else session
    return key if has_form(key) else None


def sessions_of(user: Any, *, current: SessionStore | str | None = None) -> list[Device]:
    """The user's sessions, the oldest first, for a page "your devices".

    current    the session that asks, `request.session`, so that its Device says so
    """
    return gate().sessions(_owner(user), current=_token(current))


def end_session(user: Any, id: str) -> bool:
    """Log the user out of the session of that Device.id, and return whether there was one."""
    return gate().end_session(_owner(user), id)


def end_sessions(user: Any, *, keep: SessionStore | str | None = None) -> int:
    """Log the user out everywhere, and return how many sessions that ended.

    keep    the one that goes on, `request.session`; raises NoSession where it is none of the user's,
            which an anonymous session is, and a LEGACY store's
    """
    return gate().end_all(_owner(user), keep=... if keep is None else _token(keep))


def _logged_in(*, request: Any, user: Any, **_: Any) -> None:
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore) and _settings()["OWNERS"]:
        session.login(_owner(user), limit=_settings()["LIMIT"])


user_logged_in.connect(_logged_in)
