"""Starlette's and FastAPI's sessions in SessionGate.

    app.add_middleware(SessionGateMiddleware, gate=Gate(redis.asyncio.Redis(), sign_keys=[...]))

`request.session` is what it was: a mapping. As it is read without `await`, it is loaded before the
request is handled, where the cookie holds a token that verifies. `await request.session.login(owner)`
and its like are those of sessiongate.asyncio.Session.
"""

from __future__ import annotations

import logging
from http.cookies import Morsel, SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .asyncio import Gate, Session
from .errors import NoSession

__all__ = ["SessionGateMiddleware", "StarletteSession"]

_log = logging.getLogger("sessiongate.starlette")


class StarletteSession(Session):
    """One request's session: a mapping of JSON values; see sessiongate.asyncio.Session."""

    was_accessed = False
    was_lost = False
    """It had been ended when it was saved."""

    def mark_accessed(self) -> None:
        """Called by `request.session`."""
        self.was_accessed = True


class SessionGateMiddleware:
    """Puts an application's sessions into SessionGate.

    gate         a sessiongate.asyncio.Gate
    cookie       the cookie's name
    max_age      seconds that the browser keeps the cookie, from each response on; None: until it is closed.
                 The Gate decides how long the session lives.
    secure       send the cookie with TLS alone; False is for developing without
    same_site    "lax", "strict" or "none"
    path         the cookie's path
    domain       the cookie's domain; None: this host alone

    The session is saved when the response starts, and, if it is stored by then, once more when the
    application is done: what a body that is streamed or a background task changes is not lost.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        *,
        cookie: str = "session",
        max_age: int | None = None,
        secure: bool = True,
        same_site: str = "lax",
        path: str = "/",
        domain: str | None = None,
    ) -> None:
        self.app = app
        self.gate = gate
        self.cookie = cookie
        self.max_age = max_age
        self.attributes: dict[str, str | bool] = {"httponly": True, "samesite": same_site, "path": path}
        if secure:
            self.attributes["secure"] = True
        if domain is not None:
            self.attributes["domain"] = domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        came_with = HTTPConnection(scope).cookies.get(self.cookie)
        scope["session"] = session = StarletteSession(self.gate, came_with)
        await session.load()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                age_runs = self.max_age is not None and session.token == came_with
                saved = await self._save(session, confirm=age_runs)
                cookie = self._cookie(session, came_with) if saved else None
                headers = MutableHeaders(scope=message)
                if cookie:
                    headers.append("Set-Cookie", cookie)
                if cookie or session.was_accessed:
                    headers.add_vary_header("Cookie")
            await send(message)

        await self.app(scope, receive, send_with_cookie)
        if not session.is_new and not session.was_lost:
            await self._save(session)

    async def _save(self, session: StarletteSession, *, confirm: bool = False) -> bool:
        """Save the session, and return whether its cookie may be set."""
        if session.is_emptied:
            await session.end()
        try:
            await session.save(confirm=confirm)
        except NoSession:
            # The cookie is left alone: it may be that of a newer login by now.
            _log.warning("a session was ended before the request that uses it was done")
            session.was_lost = True
        return not session.was_lost

    def _cookie(self, session: StarletteSession, came_with: str | None) -> str | None:
        """The cookie to set, of a session that is saved."""
        token = session.token
        if token is None:
            return self._set_cookie("", 0) if session.has_ended else None
        if token == came_with and self.max_age is None:
            return None
        return self._set_cookie(token, self.max_age)

    def _set_cookie(self, value: str, max_age: int | None) -> str:
        jar: SimpleCookie = SimpleCookie()
        jar[self.cookie] = value
        morsel: Morsel[str] = jar[self.cookie]
        for name, attribute in self.attributes.items():
            morsel[name] = attribute
        if max_age is not None:
            morsel["max-age"] = max_age
        return morsel.OutputString()
