"""Flask's sessions: an application of its own, asked by browsers' worth of cookies.

Among them what users of Flask-Session rely on: permanent sessions, regenerate, sessions that are
cleared, nested changes.
"""

import logging
import threading

import pytest
from flask import Flask, jsonify, session
from support import KEY, at_once

from sessiongate import Gate, NoSession
from sessiongate.flask import SessionGate


@pytest.fixture
def gate(driver, server):
    client = driver.Single(port=server.port)
    client.ping()
    yield Gate(client, [KEY])
    client.close()


@pytest.fixture
def actions():
    return {}


@pytest.fixture
def app(gate, actions):
    app = Flask("site")
    SessionGate(app, gate)
    app.config["SESSION_COOKIE_SECURE"] = False

    @app.get("/<name>")
    def act(name):
        return jsonify(actions[name]())

    return app


@pytest.fixture
def ask(app, actions):
    """ask(browser, view): what the view answers to that browser, and the response as `ask.response`."""

    def ask(browser, view):
        actions[view.__name__] = view
        ask.response = browser.get("/" + view.__name__)
        assert ask.response.status_code == 200
        return ask.response.json

    return ask


def write():
    session["a"] = session.get("a", 0) + 1


def read():
    return session.get("a")


def token_of(browser):
    cookie = browser.get_cookie("session")
    return cookie and cookie.value


def test_two_browsers_have_a_session_each(app, ask):
    one, other = app.test_client(), app.test_client()
    for expected in (1, 2, 3):
        ask(one, write)
        assert ask(one, read) == expected
    assert ask(other, read) is None
    ask(other, write)
    assert ask(other, read) == 1
    assert token_of(one) != token_of(other)


def test_a_request_costs_no_more_round_trips_than_it_must(app, ask, server):
    browser = app.test_client()

    def untouched():
        return 1

    def rewrite():
        session["a"] = session["a"]

    def regenerate():
        app.session_interface.regenerate(session)

    def end():
        session.clear()

    def trips(view):
        with server.trips() as made:
            ask(browser, view)
        return made.count

    assert trips(untouched) == trips(read) == 0
    assert trips(write) == 1
    assert trips(untouched) == 0
    assert trips(read) == 1
    assert trips(write) == 2
    assert trips(rewrite) == 1
    assert trips(regenerate) == 2
    assert trips(end) == 2
    assert trips(read) == 0
    browser.set_cookie("session", "v2." + "a" * 22 + "." + "0" * 32 + "abc")
    assert trips(read) == 0


def test_a_login_costs_four_round_trips(app, ask, server):
    browser = app.test_client()
    ask(browser, write)
    visitor = token_of(browser)

    def login():
        session["user"] = session["a"]
        app.session_interface.login(session, "user:1")

    with server.trips() as made:
        ask(browser, login)
    assert made.count == 4
    assert token_of(browser) != visitor
    assert ask(browser, read) == 1


def test_changes_inside_a_value_are_noticed(app, ask):
    browser = app.test_client()

    def begin():
        session["cart"] = {"items": []}

    def add():
        session["cart"]["items"].append("tea")
        assert session.modified

    def cart():
        assert not session.modified
        return session["cart"]

    ask(browser, begin)
    ask(browser, add)
    ask(browser, add)
    assert ask(browser, cart) == {"items": ["tea", "tea"]}


def test_the_cookie_is_http_only_secure_and_lax_unless_it_is_told_otherwise(gate):
    app = Flask("secure")
    SessionGate(app, gate)

    @app.get("/")
    def view():
        session["a"] = 1
        return ""

    cookie = app.test_client().get("/").headers["Set-Cookie"]
    assert cookie.startswith("session=v2.")
    for attribute in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Expires" not in cookie
    app.config["SESSION_COOKIE_SECURE"] = False
    assert "Secure" not in app.test_client().get("/").headers["Set-Cookie"]


def test_the_cookie_is_set_when_the_token_is_new_and_not_again(app, ask):
    browser = app.test_client()
    ask(browser, write)
    assert "Set-Cookie" in ask.response.headers
    ask(browser, write)
    assert "Set-Cookie" not in ask.response.headers
    assert "Cookie" in ask.response.vary


def test_a_permanent_sessions_cookie_is_refreshed_for_one_round_trip_more(app, ask, server):
    browser = app.test_client()

    def make_permanent():
        session.permanent = True

    ask(browser, make_permanent)
    assert "Expires" in ask.response.headers["Set-Cookie"]
    with server.trips() as made:
        ask(browser, read)
    assert made.count == 2
    assert "Expires" in ask.response.headers["Set-Cookie"]


def test_a_late_request_that_only_reads_leaves_the_cookie_of_a_newer_login_alone(app, ask, gate):
    browser = app.test_client()

    def make_permanent():
        session.permanent = True

    def late():
        assert session.permanent
        gate.end(token_of(browser))
        return "answered"

    ask(browser, make_permanent)
    assert ask(browser, late) == "answered"
    assert "Set-Cookie" not in ask.response.headers


def test_a_cleared_session_is_ended_and_its_cookie_deleted(app, ask, gate):
    browser = app.test_client()
    ask(browser, write)
    token = token_of(browser)

    def clear():
        session.clear()

    ask(browser, clear)
    assert token_of(browser) is None
    with pytest.raises(NoSession):
        gate.ttl(token)


def test_a_session_that_is_ended_and_filled_again_is_a_new_one(app, ask, gate):
    browser = app.test_client()
    ask(browser, write)
    token = token_of(browser)

    def restart():
        session.end()
        session["b"] = 1

    ask(browser, restart)
    assert token_of(browser) != token
    assert dict(gate.session(token_of(browser))) == {"b": 1}


def test_an_empty_session_that_is_only_read_goes_on(app, ask, gate):
    browser = app.test_client()
    token = gate.start()
    browser.set_cookie("session", token)
    assert ask(browser, read) is None
    assert gate.ttl(token) == 1800
    assert token_of(browser) == token


def test_regenerate_gives_a_new_token_and_the_old_one_is_dead(app, ask, gate):
    browser, planted = app.test_client(), app.test_client()
    ask(browser, write)
    planted.set_cookie("session", token_of(browser))

    def regenerate():
        app.session_interface.regenerate(session)
        session["user"] = 1

    ask(browser, regenerate)
    assert token_of(browser) != token_of(planted)
    assert ask(browser, read) == 1
    assert ask(planted, read) is None


def test_a_request_that_saves_what_was_ended_meanwhile_is_answered_and_logged(app, ask, gate, caplog):
    browser = app.test_client()
    ask(browser, write)
    token = token_of(browser)

    def late():
        session["a"] = 7
        gate.end(token)
        return "answered"

    with caplog.at_level(logging.WARNING):
        assert ask(browser, late) == "answered"
    assert "ended before" in caplog.text
    assert token not in caplog.text
    assert "Set-Cookie" not in ask.response.headers
    assert gate.session(token).is_new


def test_parallel_requests_that_write_different_keys_both_win(app, ask, actions, gate):
    browser = app.test_client()
    ask(browser, write)
    token = token_of(browser)
    barrier = threading.Barrier(2)

    def slow(name):
        def view():
            assert session["a"] == 1
            barrier.wait(10)
            session[name] = name

        return view

    actions.update(one=slow("one"), other=slow("other"))

    def get(name):
        client = app.test_client()
        client.set_cookie("session", token)
        client.get("/" + name)

    threads = [threading.Thread(target=get, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(gate.session(token)) == {"a": 1, "one": "one", "other": "other"}


def test_an_app_made_by_a_factory(gate):
    sessions = SessionGate()
    app = Flask("factory")
    sessions.init_app(app, gate)
    assert app.session_interface is sessions


# Locks


def test_views_that_add_under_a_lock_at_once_lose_nothing(app, gate, ask):
    browser = app.test_client()
    ask(browser, write)
    cookie = browser.get_cookie("session").value

    def add():
        with session.lock("cart", 60):
            session["a"] += 1

    def add_often():
        other = app.test_client()
        other.set_cookie("session", cookie)
        for _ in range(20):
            assert other.get("/add").status_code == 200

    ask(browser, add)
    at_once(add_often, 2)
    assert gate.pgetall(cookie) == {b"a": b"42"}


def test_a_lock_is_not_seen_and_not_deleted_by_views(app, gate, ask):
    browser = app.test_client()
    ask(browser, write)
    token = browser.get_cookie("session").value
    gate.pset(token, "\0lock:cart", b"another's")

    def look():
        return list(session)

    def clear():
        session.clear()
        session["b"] = 1

    def empty():
        session.clear()

    assert ask(browser, look) == ["a"]
    ask(browser, clear)
    assert gate.pgetall(token) == {b"\0lock:cart": b"another's", b"b": b"1"}
    ask(browser, empty)
    with pytest.raises(NoSession):
        gate.ttl(token)


def test_a_view_that_raises_within_a_lock_stores_nothing_of_it(app, gate, ask):
    browser = app.test_client()
    ask(browser, write)

    def fail():
        try:
            with session.lock("cart", 60):
                session["a"] = 100
                raise LookupError
        except LookupError:
            session["failed"] = True

    ask(browser, fail)
    assert gate.pgetall(browser.get_cookie("session").value) == {b"a": b"1", b"failed": b"true"}
