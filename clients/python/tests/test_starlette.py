"""Starlette's and FastAPI's sessions: an application of its own, asked by browsers' worth of cookies.

Among them what users of starsessions rely on: a session that is regenerated, cleared, refreshed.
"""

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from support import KEY

from sessiongate import NoSession
from sessiongate.asyncio import Gate
from sessiongate.starlette import SessionGateMiddleware


class Site:
    """An application in a loop of its own, whose routes are the functions that are asked."""

    def __init__(self, gates, **options):
        self.run = gates.run
        self.gate = Gate(gates.client(), [KEY])
        self.actions = {}
        self.app = SessionGateMiddleware(
            Starlette(routes=[Route("/{name}", self.act)]), self.gate, **{"secure": False, **options}
        )
        self.browsers = []
        self.response = None

    async def act(self, request):
        answer = await self.actions[request.path_params["name"]](request)
        return answer if isinstance(answer, StreamingResponse) else JSONResponse(answer)

    def browser(self):
        transport = httpx.ASGITransport(self.app)
        self.browsers.append(httpx.AsyncClient(transport=transport, base_url="http://site"))
        return self.browsers[-1]

    def ask(self, browser, action):
        self.actions[action.__name__] = action
        self.response = self.run(browser.get("/" + action.__name__))
        assert self.response.status_code == 200
        return None if self.response.text == "" else self.response.json()

    def close(self):
        for browser in self.browsers:
            self.run(browser.aclose())


@pytest.fixture
def make_site(gates):
    made = []

    def make(**options):
        made.append(Site(gates, **options))
        return made[-1]

    yield make
    for site in made:
        site.close()


pytestmark = pytest.mark.parametrize("gates", ["asyncio"], indirect=True)


@pytest.fixture
def site(make_site):
    return make_site()


async def write(request):
    request.session["a"] = request.session.get("a", 0) + 1


async def read(request):
    return request.session.get("a")


async def untouched(request):
    return 1


def token_of(browser):
    return browser.cookies.get("session")


def test_two_browsers_have_a_session_each(site):
    one, other = site.browser(), site.browser()
    for expected in (1, 2, 3):
        site.ask(one, write)
        assert site.ask(one, read) == expected
    assert site.ask(other, read) is None
    site.ask(other, write)
    assert site.ask(other, read) == 1
    assert token_of(one) != token_of(other)


def test_a_request_costs_no_more_round_trips_than_it_must(site, server):
    browser = site.browser()

    async def rewrite(request):
        request.session["a"] = request.session["a"]

    async def regenerate(request):
        await request.session.rotate()

    async def end(request):
        request.session.clear()

    def trips(action):
        with server.trips() as made:
            site.ask(browser, action)
        return made.count

    assert trips(untouched) == trips(read) == 0
    assert trips(write) == 1
    assert trips(read) == 1
    assert trips(write) == 2
    assert trips(rewrite) == 1
    assert trips(regenerate) == 2
    assert trips(end) == 2
    assert trips(read) == 0
    browser.cookies.set("session", "v2." + "a" * 22 + "." + "0" * 32 + "abc", domain="site")
    assert trips(read) == 0


def test_a_login_costs_four_round_trips(site, server):
    browser = site.browser()
    site.ask(browser, write)
    visitor = token_of(browser)

    async def login(request):
        request.session["user"] = 1
        await request.session.login("user:1")

    with server.trips() as made:
        site.ask(browser, login)
    assert made.count == 4
    assert token_of(browser) != visitor
    assert site.ask(browser, read) == 1


def test_the_cookie_is_http_only_secure_and_lax_unless_it_is_told_otherwise(make_site):
    strict = make_site(secure=True)
    strict.ask(strict.browser(), write)
    cookie = strict.response.headers["set-cookie"]
    assert cookie.startswith("session=v2.")
    for attribute in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert attribute in cookie
    assert "Max-Age" not in cookie
    other = make_site(cookie="sid", max_age=60, same_site="strict", path="/app", domain="example.org")
    other.ask(other.browser(), write)
    cookie = other.response.headers["set-cookie"]
    assert cookie.startswith("sid=v2.")
    assert "Secure" not in cookie
    for attribute in ("Max-Age=60", "SameSite=strict", "Path=/app", "Domain=example.org"):
        assert attribute in cookie


def test_the_cookie_is_set_when_the_token_is_new_and_refreshed_where_it_has_an_age(make_site, server):
    site, aged = make_site(), make_site(max_age=60)
    browser = site.browser()
    site.ask(browser, write)
    assert "set-cookie" in site.response.headers
    site.ask(browser, write)
    assert "set-cookie" not in site.response.headers
    assert site.response.headers["vary"] == "Cookie"
    site.ask(browser, untouched)
    assert "vary" not in site.response.headers
    browser = aged.browser()
    aged.ask(browser, write)
    with server.trips() as made:
        aged.ask(browser, read)
    assert made.count == 2
    assert "Max-Age=60" in aged.response.headers["set-cookie"]


def test_changes_inside_a_value_are_noticed(site):
    browser = site.browser()

    async def add(request):
        request.session.setdefault("cart", []).append("tea")

    async def cart(request):
        return request.session["cart"]

    site.ask(browser, add)
    site.ask(browser, add)
    assert site.ask(browser, cart) == ["tea", "tea"]


def test_a_cleared_session_is_ended_and_its_cookie_deleted(site):
    browser = site.browser()
    site.ask(browser, write)
    token = token_of(browser)

    async def clear(request):
        request.session.clear()

    site.ask(browser, clear)
    assert token_of(browser) is None
    with pytest.raises(NoSession):
        site.run(site.gate.ttl(token))


def test_an_empty_session_that_is_only_read_goes_on(site):
    browser = site.browser()
    token = site.run(site.gate.start())
    browser.cookies.set("session", token, domain="site")
    assert site.ask(browser, read) is None
    assert site.run(site.gate.ttl(token)) == 1800


def test_a_rotated_session_has_a_new_token_and_the_old_one_is_dead(site):
    browser, planted = site.browser(), site.browser()
    site.ask(browser, write)
    planted.cookies.set("session", token_of(browser), domain="site")

    async def rotate(request):
        await request.session.rotate()
        request.session["user"] = 1

    site.ask(browser, rotate)
    assert token_of(browser) != token_of(planted)
    assert site.ask(browser, read) == 1
    assert site.ask(planted, read) is None


def test_a_request_that_saves_what_was_ended_meanwhile_is_answered_and_logged(site, caplog):
    browser = site.browser()
    site.ask(browser, write)
    token = token_of(browser)

    async def late(request):
        request.session["a"] = 7
        await site.gate.end(token)
        return "answered"

    with caplog.at_level(logging.WARNING):
        assert site.ask(browser, late) == "answered"
    assert "ended before" in caplog.text
    assert token not in caplog.text
    assert "set-cookie" not in site.response.headers
    assert site.run(site.gate.session(token)).is_new


def test_a_late_request_that_only_reads_leaves_the_cookie_of_a_newer_login_alone(make_site):
    site = make_site(max_age=60)
    browser = site.browser()
    site.ask(browser, write)

    async def late(request):
        await site.gate.end(token_of(browser))
        return "answered"

    assert site.ask(browser, late) == "answered"
    assert "set-cookie" not in site.response.headers


def test_a_late_write_is_logged_once_and_not_sent_again(site, server, caplog):
    browser = site.browser()
    site.ask(browser, write)

    async def late(request):
        request.session["a"] = 7
        await site.gate.end(token_of(browser))

    with caplog.at_level(logging.WARNING), server.trips() as made:
        site.ask(browser, late)
    assert len(caplog.records) == 1
    assert made.count == 3  # the load, the end, the save


def test_what_a_streamed_body_changes_is_saved_too(site):
    browser = site.browser()
    site.ask(browser, write)

    async def stream(request):
        async def body():
            request.session["streamed"] = True
            yield b"1"

        return StreamingResponse(body())

    async def streamed(request):
        return request.session.get("streamed")

    site.ask(browser, stream)
    assert site.ask(browser, streamed) is True


def test_fastapi_has_the_same(site, gates):
    app = FastAPI()
    app.add_middleware(SessionGateMiddleware, gate=site.gate, secure=False)

    @app.get("/count")
    async def count(request: Request):
        request.session["count"] = request.session.get("count", 0) + 1
        return request.session["count"]

    async def visit():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as browser:
            return [(await browser.get("/count")).json() for _ in range(3)]

    assert gates.run(visit()) == [1, 2, 3]


def test_a_websocket_reads_the_session_and_changes_it(site):
    token = site.run(site.gate.start(payloads={"a": b"1"}))
    sent = []

    async def socket(scope, receive, send):
        await send({"type": "websocket.accept", "headers": []})
        scope["session"]["b"] = scope["session"]["a"] + 1

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"cookie", f"session={token}".encode())]}
    site.run(SessionGateMiddleware(socket, site.gate)(scope, receive, send))
    assert site.run(site.gate.pget(token, "b")) == b"2"
    assert sent[0]["type"] == "websocket.accept"


# Locks


def test_requests_that_add_under_a_lock_at_once_lose_nothing(make_site, gates):
    site = make_site()
    browser = site.browser()

    async def add(request):
        async with request.session.lock("cart", 60):
            request.session["a"] = request.session.get("a", 0) + 1

    async def add_often():
        for _ in range(20):
            assert (await browser.get("/add")).status_code == 200

    async def add_both():
        await asyncio.gather(add_often(), add_often())

    site.ask(browser, add)
    site.run(add_both())
    token = browser.cookies["session"]
    assert gates.run(site.gate.pgetall(token)) == {b"a": b"41"}


def test_a_lock_is_not_seen_and_not_deleted_by_requests(make_site, gates):
    site = make_site()
    browser = site.browser()

    async def start(request):
        request.session["a"] = 1

    async def look(request):
        return list(request.session)

    async def clear(request):
        request.session.clear()
        request.session["b"] = 1

    site.ask(browser, start)
    token = browser.cookies["session"]
    gates.run(site.gate.pset(token, "\0lock:cart", b"another's"))
    assert site.ask(browser, look) == ["a"]
    site.ask(browser, clear)
    assert gates.run(site.gate.pgetall(token)) == {b"\0lock:cart": b"another's", b"b": b"1"}
