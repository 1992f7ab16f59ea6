"""Flask's sessions in SessionGate.

    SessionGate(app, Gate(Redis(), sign_keys=[...]))

`flask.session` is what it was. It is loaded when a view looks at it; changes inside a value are
noticed; requests that change different keys of one session both win.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

from .commands import Name
from .errors import NoSession
from .gate import Gate, Session

__all__ = ["FlaskSession", "SessionGate"]

_log = logging.getLogger("sessiongate.flask")


class FlaskSession(Session, SessionMixin):
    """One request's session: a mapping of JSON values; see sessiongate.Session.

    `permanent` decides, as ever, whether the cookie outlives the browser; the Gate decides how long the
    session lives.
    """

    @property
    def new(self) -> bool:  # type: ignore[override]
        return self.is_new

    @property
    def modified(self) -> bool:
        """Whether there is something to save. Setting it does nothing: changes are found."""
        return self.is_loaded and any(self.changes())

    @modified.setter
    def modified(self, value: bool) -> None:
        pass


class SessionGate(SessionInterface):
    """Puts an application's sessions into SessionGate.

    Cookies are HttpOnly, Secure and SameSite=Lax. Flask's own settings SESSION_COOKIE_… change that and
    are read at each response; set them behind this call: `app.config["SESSION_COOKIE_SECURE"] = False`
    is for developing without TLS.
    """

    def __init__(self, app: Flask | None = None, gate: Gate | None = None) -> None:
        if app is not None and gate is not None:
            self.init_app(app, gate)

    def init_app(self, app: Flask, gate: Gate) -> None:
        """What SessionGate(app, gate) does, for an application that is made later."""
        self.gate = gate
        app.session_interface = self
        app.config["SESSION_COOKIE_SECURE"] = True
        app.config["SESSION_COOKIE_SAMESITE"] = app.config["SESSION_COOKIE_SAMESITE"] or "Lax"

    def regenerate(self, session: Any) -> None:
        """Give the session a new token, the old one is dead at once: for a login without an owner.

        Raises NoSession where it has ended meanwhile.
        """
        session.rotate()

    def login(self, session: Any, owner: Name, *, limit: int | None = None) -> None:
        """Make it a session of that owner, under a new token; see sessiongate.Session.login().

        Raises NoSession where it has ended meanwhile.
        """
        session.login(owner, limit=limit)

    def open_session(self, app: Flask, request: Request) -> FlaskSession:
        session = FlaskSession(self.gate, request.cookies.get(self.get_cookie_name(app)))
        session.came_with = session._token  # type: ignore[attr-defined]
        return session

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        if not session.is_loaded:
            return
        response.vary.add("Cookie")
        if session.is_emptied:
            session.end()
        if session.is_new and not session:
            if session.has_ended:
                response.delete_cookie(self.get_cookie_name(app), **self._attributes(app))
            return
        refresh = session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]
        try:
            session.save(confirm=refresh and session.token == session.came_with)
        except NoSession:
            # The cookie is left alone: it may be that of a newer login by now.
            _log.warning("a session was ended before the request that uses it was done")
            return
        if refresh or session.token != session.came_with:
            expires = self.get_expiration_time(app, session)
            name = self.get_cookie_name(app)
            response.set_cookie(name, session.token, expires=expires, **self._attributes(app))

    def _attributes(self, app: Flask) -> dict[str, Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "samesite": self.get_cookie_samesite(app),
            "httponly": self.get_cookie_httponly(app),
        }
