"""Django's sessions: a site of its own, asked by browsers' worth of cookies."""

import threading
import traceback
from datetime import timedelta

import django_site
import pytest
from django.contrib.auth import alogin, authenticate, get_user_model, login, logout
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client, override_settings
from django.utils import timezone
from support import at_once

from sessiongate import BadArgument, NoSession
from sessiongate.django import _DEFAULTS, SessionStore, end_session, end_sessions, gate, sessions_of


@pytest.fixture(scope="module", autouse=True)
def database():
    call_command("migrate", verbosity=0)


@pytest.fixture
def configure(server):
    """Gives the site its SESSIONGATE; the server's address unless told otherwise."""
    entered = []

    def configure(**given):
        others = {name: given.pop(name) for name in list(given) if name not in _DEFAULTS}
        location = f"redis://127.0.0.1:{server.port}"
        override = override_settings(SESSIONGATE={"LOCATION": location, **given}, **others)
        override.enable()
        entered.append(override)
        gate()._client.ping()

    yield configure
    if entered:
        gate()._client.close()
    for override in reversed(entered):
        override.disable()
    django_site.ACTIONS.clear()


@pytest.fixture
def site(configure):
    configure()


@pytest.fixture
def user():
    return get_user_model().objects.get_or_create(username="ada")[0]


def action(function):
    django_site.ACTIONS[function.__name__] = function
    return f"/{function.__name__}"


def ask(client, function):
    response = client.get(action(function))
    return response.json()["answer"] if response.status_code == 200 else response.status_code


def write(request):
    request.session["a"] = request.session.get("a", 0) + 1


def read(request):
    return request.session.get("a")


def key_of(client):
    return client.cookies["sessionid"].value


# Round trips, counted by the server


def trips(server, client, function):
    with server.trips() as made:
        ask(client, function)
    return made.count


def test_a_request_costs_no_more_round_trips_than_it_must(site, server):
    client = Client()

    def untouched(request):
        return 1

    def rewrite(request):
        request.session["a"] = request.session["a"]

    def cycle(request):
        request.session.cycle_key()

    def end(request):
        logout(request)

    assert trips(server, client, untouched) == 0
    assert trips(server, client, read) == 0
    assert trips(server, client, write) == 1  # the first
    assert trips(server, client, untouched) == 0
    assert trips(server, client, read) == 1
    assert trips(server, client, write) == 2
    assert trips(server, client, rewrite) == 1
    key = key_of(client)
    assert trips(server, client, cycle) == 2
    assert key_of(client) != key
    assert trips(server, client, read) == 1
    forged = Client()
    forged.cookies["sessionid"] = "v2." + "a" * 22 + "." + "0" * 32 + "abc"
    assert trips(server, forged, read) == 0
    assert trips(server, client, end) == 2


def test_a_login_costs_four_round_trips(site, server, user):
    client = Client()
    ask(client, write)

    def log_in(request):
        request.session["seen"] = request.session["a"]
        login(request, user)

    assert trips(server, client, log_in) == 4
    assert ask(client, read) == 1
    newcomer = Client()
    assert trips(server, newcomer, log_in_only(user)) == 1


def log_in_only(user):
    def log_in_only(request):
        login(request, user)

    return log_in_only


# What Django's users know


def test_a_visitor_keeps_what_was_written(site):
    client, other = Client(), Client()
    for expected in (1, 2, 3):
        ask(client, write)
        assert ask(client, read) == expected
    assert ask(other, read) is None


def test_an_unknown_or_forged_key_is_forgotten(site):
    stranger = SessionStore("v2." + "a" * 22 + "." + "0" * 32 + "abc")
    assert dict(stranger.items()) == {}
    assert stranger.session_key is None
    unknown = gate().mint()
    stranger = SessionStore(unknown)
    stranger["a"] = 1
    stranger.save()
    assert stranger.session_key not in (None, unknown)


def test_different_items_written_by_parallel_requests_are_both_kept(site):
    first = SessionStore()
    first["a"] = 1
    first.save()
    one, other = SessionStore(first.session_key), SessionStore(first.session_key)
    assert one["a"] == other["a"] == 1
    one["one"] = 1
    other["other"] = 2
    one.save()
    other.save()
    assert dict(SessionStore(first.session_key).items()) == {"a": 1, "one": 1, "other": 2}


def test_a_session_that_was_ended_during_a_request_is_400_and_stays_ended(site, server):
    client = Client()
    ask(client, write)
    key = key_of(client)
    inside, ended = threading.Event(), threading.Event()

    def slow(request):
        request.session["late"] = request.session["a"]
        inside.set()
        assert ended.wait(10)

    answers = []
    late = Client()
    late.cookies["sessionid"] = key
    url = action(slow)
    thread = threading.Thread(target=lambda: answers.append(late.get(url)))
    thread.start()
    assert inside.wait(10)
    ask(client, log_out)
    ended.set()
    thread.join()
    assert answers[0].status_code == 400
    assert "sessionid" not in answers[0].cookies
    assert server.admin().dbsize() == 0


def log_out(request):
    logout(request)


def same_again(request):
    request.session["a"] = request.session["a"]


def refreshed(request):
    request.session["a"] = request.session["a"]
    request.session.modified = True


@pytest.mark.parametrize(
    ("every", "late", "status"), [(False, same_again, 200), (False, refreshed, 400), (True, read, 400)]
)
def test_a_late_request_that_changes_nothing_leaves_the_cookie_of_a_newer_login_alone(
    configure, every, late, status
):
    configure(SESSION_SAVE_EVERY_REQUEST=every)
    client = Client()
    ask(client, write)
    key = key_of(client)

    def ended_meanwhile(request):
        late(request)
        gate().end(key)

    response = client.get(action(ended_meanwhile))
    assert response.status_code == status
    assert "sessionid" not in response.cookies


def test_the_cookie_is_set_again_where_the_session_is_changed_or_called_modified(site, server):
    client = Client()
    ask(client, write)
    for view, is_set in ((same_again, False), (refreshed, True), (write, True), (read, False)):
        assert ("sessionid" in client.get(action(view)).cookies) == is_set
    assert trips(server, client, refreshed) == 2

    def saved_by_the_view(request):
        write(request)
        request.session.save()

    for browser in (client, Client()):
        assert "sessionid" in browser.get(action(saved_by_the_view)).cookies

    def change_after_writing(request):
        request.session["list"] = items = request.session.get("list", [])
        items.append(len(items))
        return items

    ask(client, change_after_writing)
    ask(client, change_after_writing)
    assert ask(client, change_after_writing) == [0, 1, 2]


def test_a_key_that_cannot_be_cycled_as_the_session_has_ended_is_400(site):
    client = Client()

    def cycle_late(request):
        assert request.session["a"] == 1
        gate().end(request.session.session_key)
        request.session.cycle_key()
        return request.session.session_key

    async def acycle_late(request):
        await request.session.aget("a")
        await request.session.adelete()
        await request.session.acycle_key()

    for view, path in ((cycle_late, "/"), (acycle_late, "/async/")):
        client.cookies.clear()
        ask(client, write)
        action(view)
        assert client.get(path + view.__name__).status_code == 400


def test_save_of_an_ended_session_is_djangos_update_error(site):
    store = SessionStore()
    store["a"] = 1
    store.save()
    SessionStore(store.session_key).delete()
    store["a"] = 2
    with pytest.raises(UpdateError):
        store.save()
    store.cycle_key()
    with pytest.raises(UpdateError):
        store.save()
    assert not SessionStore().exists(store._session_key)


def test_a_stored_session_cannot_be_created_again(site):
    store = SessionStore()
    store.create()
    with pytest.raises(CreateError):
        store.save(must_create=True)


def test_cycle_key_keeps_the_items_and_kills_the_old_key_at_once(site):
    store = SessionStore()
    store["a"] = 1
    store.save()
    old = store.session_key
    store.cycle_key()
    new = store.session_key
    assert new != old
    assert not SessionStore().exists(old)
    assert SessionStore(new)["a"] == 1
    fresh = SessionStore()
    fresh.cycle_key()
    assert fresh.session_key


def test_a_key_that_was_cycled_in_a_request_that_failed_goes_on(site):
    client = Client(raise_request_exception=False)
    ask(client, write)
    key = key_of(client)

    def fails(request):
        request.session.cycle_key()
        return HttpResponse(status=500)

    assert ask(client, fails) == 500
    assert key_of(client) == key
    assert ask(client, read) == 1


# Life


def test_the_life_is_session_cookie_age_and_using_it_restores_it(configure, server):
    configure(SESSION_COOKIE_AGE=1000, REFRESH=0)
    client = Client()
    ask(client, write)
    assert gate().ttl(key_of(client)) == 1000
    server.admin().pexpire(key_of(client), 500_000)
    ask(client, read)
    assert gate().ttl(key_of(client)) == 1000


def test_max_ttl_is_a_deadline(configure):
    configure(SESSION_COOKIE_AGE=1000, MAX_TTL=5000)
    store = SessionStore()
    store.create()
    info = gate().info(store.session_key)
    assert info.deadline - info.created == timedelta(seconds=5000)


def test_set_expiry_sets_the_life_of_this_session(site):
    store = SessionStore()
    store.set_expiry(77)
    store.save()
    assert gate().ttl(store.session_key) == 77
    again = SessionStore(store.session_key)
    again.set_expiry(99)
    again.save()
    assert gate().ttl(store.session_key) == 99
    again.set_expiry(None)
    again.save()
    assert gate().ttl(store.session_key) == again.get_session_cookie_age()
    again.set_expiry(-1)
    again.save()
    assert not SessionStore().exists(store.session_key)


def test_a_life_shorter_than_a_refresh_is_restored_by_use(site, server):
    store = SessionStore()
    store.set_expiry(50)
    store.save()
    for seconds_left, then in ((48, 48), (30, 50)):
        server.admin().pexpire(store.session_key, seconds_left * 1000)
        assert SessionStore(store.session_key).get_expiry_age() == 50
        assert gate().ttl(store.session_key) == then


def test_a_date_of_expiry_is_not_prolonged_by_use(site, server):
    store = SessionStore()
    store.set_expiry(timezone.now() + timedelta(seconds=100))
    store["a"] = 1
    store.save()
    assert 95 <= gate().ttl(store.session_key) <= 100
    past = (timezone.now() - timedelta(seconds=1)).isoformat()
    gate().pset(store.session_key, "_session_expiry", f'"{past}"'.encode())
    late = SessionStore(store.session_key)
    assert "a" not in late
    assert late.session_key is None


@pytest.mark.parametrize(
    "stored", [b'"tomorrow"', b'"2026-13-45T00:00:00+00:00"', b"[]", b"{", b'"2026-01-01"']
)
def test_an_expiry_that_is_none_is_forgotten(site, stored):
    client = Client()
    ask(client, write)
    gate().pset(key_of(client), "_session_expiry", stored)
    assert ask(client, read) == 1
    ask(client, write)
    assert ask(client, read) == 2
    assert b"_session_expiry" not in gate().pgetall(key_of(client))


# Users


def test_logging_in_gives_a_new_key_and_keeps_the_visitors_items(site, user):
    client = Client()
    ask(client, write)
    visitor = key_of(client)

    def log_in(request):
        login(request, user)
        return request.session.session_key

    key = ask(client, log_in)
    assert key == key_of(client) != visitor
    assert ask(client, read) == 1
    planted = Client()
    planted.cookies["sessionid"] = visitor
    assert ask(planted, who) == ""
    assert ask(client, who) == "ada"
    client.get(action(log_out))
    assert ask(client, who) == ""


def who(request):
    return request.user.username


def test_a_session_to_keep_that_is_none_of_the_users_ends_nothing(legacy, user):
    ask(Client(), log_in_only(user))
    for keep in (SessionStore(), SessionStore(key_of(legacy)), "", gate().mint()):
        with pytest.raises(NoSession):
            end_sessions(user, keep=keep)
    assert len(sessions_of(user)) == 1


def test_without_owners_nothing_is_owned(configure, user, server):
    configure(OWNERS=False)
    client = Client()
    ask(client, log_in_only(user))
    assert ask(client, who) == "ada"
    info = gate().info(key_of(client))
    assert info.owner is None


def test_a_users_sessions_are_listed_and_ended(site, user):
    clients = [Client(headers={"user-agent": f"agent {n}"}) for n in range(3)]

    def log_in(request):
        login(request, user)
        request.session["agent"] = request.headers["user-agent"]

    for client in clients:
        ask(client, log_in)
    kept = clients[1]

    def devices(request):
        found = sessions_of(request.user, current=request.session)
        return [[each.payloads["agent"], each.current] for each in found]

    assert ask(kept, devices) == [["agent 0", False], ["agent 1", True], ["agent 2", False]]

    def end_first(request):
        return end_session(request.user, sessions_of(request.user)[0].id)

    assert ask(kept, end_first) is True
    assert ask(clients[0], who) == ""

    def end_others(request):
        return end_sessions(request.user, keep=request.session)

    assert ask(kept, end_others) == 1
    assert [ask(client, who) for client in clients] == ["", "ada", ""]
    assert end_sessions(user) == 1
    assert ask(kept, who) == ""


def test_the_same_users_login_again_keeps_the_key(site, user):
    client = Client()
    ask(client, log_in_only(user))
    key = key_of(client)
    ask(client, log_in_only(user))
    assert key_of(client) == key
    assert len(sessions_of(user)) == 1


def test_a_limit_of_devices_ends_the_oldest(configure, user):
    configure(LIMIT=2)
    clients = [Client() for _ in range(3)]
    for client in clients:
        ask(client, log_in_only(user))
    assert [ask(client, who) for client in clients] == ["", "ada", "ada"]


def test_nobody_is_logged_in_by_a_session_that_was_ended_meanwhile(site, user):
    client = Client()
    ask(client, write)

    def log_in(request):
        assert request.session["a"] == 1
        gate().end(request.session.session_key)
        login(request, user)

    assert ask(client, log_in) == 400
    assert sessions_of(user) == []


# Sign keys


def test_the_sign_keys_come_from_the_secret_keys_and_the_fallbacks_go_on(configure, server):
    configure(SECRET_KEY="first")
    client = Client()
    ask(client, write)
    old = key_of(client)
    configure(SECRET_KEY="second", SECRET_KEY_FALLBACKS=["first"])
    assert gate().verify(old).position == 1
    assert ask(client, read) == 1

    def cycle(request):
        request.session.cycle_key()

    ask(client, cycle)
    assert gate().verify(key_of(client)).position == 0
    configure(SECRET_KEY="second", SECRET_KEY_FALLBACKS=[])
    assert ask(client, read) == 1
    assert gate().verify(old) is None


def test_the_server_is_never_sent_the_secret_key(configure):
    configure(SECRET_KEY="the secret key itself")
    keys = gate()._commands.keyring.keys
    assert all(b"secret key" not in bytes(key) and len(key) == 32 for key in keys)


def test_sign_keys_can_be_given(configure):
    configure(SIGN_KEYS=["text", b"bytes"])
    assert [bytes(key) for key in gate()._commands.keyring.keys] == [b"text", b"bytes"]


def test_a_setting_that_is_unknown_or_missing_is_said(configure):
    configure()
    with override_settings(SESSIONGATE={"LOCATIONS": "x"}), pytest.raises(ImproperlyConfigured):
        SessionStore()
    with override_settings(SESSIONGATE={}), pytest.raises(ImproperlyConfigured):
        SessionStore()
    site = {"LOCATION": "redis://127.0.0.1", "LEGACY": "sessiongate.django"}
    with override_settings(SESSIONGATE=site), pytest.raises(ImproperlyConfigured, match="LEGACY"):
        SessionStore()


def test_another_engines_logins_need_no_settings_of_ours(configure, user):
    configure()
    with override_settings(SESSION_ENGINE=DATABASE, SESSIONGATE={}):
        client = Client()
        ask(client, log_in_only(user))
        assert ask(client, who) == "ada"


@pytest.mark.parametrize("keys", [[], [""], [3], [None, "x"]])
def test_sign_keys_that_are_none_are_refused(configure, keys):
    configure()
    site = {"LOCATION": "redis://127.0.0.1", "SIGN_KEYS": keys}
    with override_settings(SESSIONGATE=site), pytest.raises(BadArgument):
        gate()


@pytest.mark.parametrize("one", ["one key", b"one key"])
def test_one_key_in_place_of_a_list_is_refused(configure, one):
    configure()
    site = {"LOCATION": "redis://127.0.0.1", "SIGN_KEYS": one}
    with override_settings(SESSIONGATE=site), pytest.raises(ImproperlyConfigured, match="list of keys"):
        gate()


def test_what_is_wrong_with_the_settings_is_said_without_a_sign_key(configure):
    configure()
    secret = "Unique-Sign-Key-of-the-settings"
    one_key = {"LOCATION": "redis://x", "SIGN_KEYS": secret}
    for wrong in ({"LOCATION": "gopher://x"}, {"LOCATION": "redis://x", "NONE": 1}, {}, one_key):
        site = override_settings(SESSIONGATE={"SIGN_KEYS": [secret], **wrong})
        with site, pytest.raises((ImproperlyConfigured, ValueError)) as raised:
            gate()
        ours = [
            frame.f_locals
            for frame, _ in traceback.walk_tb(raised.value.__traceback__)
            if "/sessiongate/" in frame.f_code.co_filename
        ]
        assert ours
        assert secret not in repr(ours) + repr(raised.value)


def test_a_client_of_ones_own(configure, server):
    made = server.driver.Single(port=server.port)
    configure(LOCATION=None, CLIENT=made)
    assert gate()._client is made
    client = Client()
    ask(client, write)
    assert ask(client, read) == 1


def test_a_function_that_makes_the_client(configure, server):
    made = server.driver.Single(port=server.port)
    configure(LOCATION=None, CLIENT=lambda: made)
    assert gate()._client is made


def test_threads_that_come_first_share_one_client(configure, server):
    configure()
    meeting, made = threading.Barrier(8), []

    def make():
        made.append(server.driver.Single(port=server.port))
        threading.Event().wait(0.05)  # long enough for the others to come
        return made[-1]

    def come():
        meeting.wait(10)
        gate()

    with override_settings(SESSIONGATE={"CLIENT": make}):
        threads = [threading.Thread(target=come) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1


# Moving over


DATABASE = "django.contrib.sessions.backends.db"


@pytest.fixture
def legacy(configure):
    """A browser whose session is one of Django's own store."""
    configure()
    before, now = Client(), Client()  # a Client keeps the engine of its first request
    with override_settings(SESSION_ENGINE=DATABASE):
        ask(before, write)
    configure(LEGACY=DATABASE)
    now.cookies = before.cookies
    return now


def test_a_session_of_the_former_store_lives_on_there(legacy, server):
    key = key_of(legacy)
    assert ask(legacy, read) == 1
    ask(legacy, write)
    assert ask(legacy, read) == 2
    assert key_of(legacy) == key
    assert server.admin().dbsize() == 0
    assert SessionStore().exists(key)
    newcomer = Client()
    ask(newcomer, write)
    assert gate().verify(key_of(newcomer))


def test_a_session_of_signed_cookies_lives_on_in_its_cookie(configure, server):
    configure()
    before, now = Client(), Client()
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        ask(before, write)
    configure(LEGACY="django.contrib.sessions.backends.signed_cookies")
    now.cookies = before.cookies
    ask(now, write)
    ask(now, write)
    assert ask(now, read) == 3
    assert server.admin().dbsize() == 0


def test_create_makes_a_session_of_the_former_store_one_of_ours(legacy):
    store = SessionStore(key_of(legacy))
    assert store["a"] == 1
    store.create()
    store["a"] = 5
    store.save()
    assert gate().verify(store.session_key)
    assert SessionStore(store.session_key)["a"] == 5


def test_a_login_moves_a_session_of_the_former_store_here(legacy, user):
    key = key_of(legacy)
    ask(legacy, log_in_only(user))
    assert gate().verify(key_of(legacy))
    assert ask(legacy, read) == 1
    assert ask(legacy, who) == "ada"
    assert not SessionStore().exists(key)


def test_a_logout_ends_a_session_of_the_former_store_there(legacy):
    key = key_of(legacy)
    ask(legacy, log_out)
    assert not SessionStore().exists(key)
    stolen = Client()
    stolen.cookies["sessionid"] = key
    assert ask(stolen, read) is None


def test_an_id_that_the_former_store_does_not_know_is_a_new_session(legacy):
    stranger = Client()
    stranger.cookies["sessionid"] = "0123456789abcdefghijklmnopqrstuv"
    assert ask(stranger, read) is None
    ask(stranger, write)
    assert gate().verify(key_of(stranger))


def test_without_legacy_an_id_that_is_no_token_is_a_new_session(site, server):
    stranger = Client()
    stranger.cookies["sessionid"] = "0123456789abcdefghijklmnopqrstuv"
    assert trips(server, stranger, read) == 0
    ask(stranger, write)
    assert gate().verify(key_of(stranger))


# Async views


def test_async_views_have_the_async_methods(site, user):
    client = Client()

    async def awrite(request):
        await request.session.aset("a", 5)
        return await request.session.aget("a")

    async def aread(request):
        return await request.session.aget("a")

    async def acycle(request):
        await request.session.acycle_key()
        return request.session.session_key

    async def aflush(request):
        await request.session.aflush()

    def aask(function):
        return client.get("/async" + action(function)).json()["answer"]

    assert aask(awrite) == 5
    assert aask(aread) == 5
    old = key_of(client)
    assert aask(acycle) == key_of(client) != old
    assert aask(aread) == 5

    async def alog_in(request):
        await alogin(request, user)

    aask(alog_in)
    assert ask(client, who) == "ada"
    aask(aflush)
    assert aask(aread) is None


# Faults


def test_a_server_that_is_down_is_an_error_and_no_new_session(make_servers, configure, driver):
    servers = make_servers("--config", "appendonly=yes", "appendfsync=always")
    configure(LOCATION=f"redis://127.0.0.1:{servers.port}")
    client = Client(raise_request_exception=False)
    ask(client, write)
    key = key_of(client)
    servers("kill 0")
    assert ask(client, read) == 500
    assert ask(client, write) == 500
    assert key_of(client) == key
    servers("start 0")
    assert ask(client, read) == 1


def test_authenticate_is_untouched(site, user):
    assert authenticate(username="ada", password="wrong") is None
    with pytest.raises(NoSession):
        gate().ttl(gate().mint())


# Locks


def add(request):
    with request.session.lock("cart", 60):
        request.session["a"] = request.session.get("a", 0) + 1


def test_views_that_add_under_a_lock_at_once_lose_nothing(site):
    client = Client()
    ask(client, write)
    path = action(add)

    def add_often():
        other = Client()
        other.cookies["sessionid"] = key_of(client)
        for _ in range(20):
            assert other.get(path).status_code == 200

    at_once(add_often, 2)
    assert gate().pgetall(key_of(client)) == {b"a": b"41"}


def test_a_lock_stores_a_new_session_and_sets_its_cookie_and_life(site):
    def begin(request):
        request.session["b"] = 1
        request.session.set_expiry(77)
        add(request)

    for view, holds in ((add, {b"a": b"1"}), (begin, {b"a": b"1", b"b": b"1", b"_session_expiry": b"77"})):
        client = Client()
        ask(client, view)
        assert gate().pgetall(key_of(client)) == holds
    assert gate().ttl(key_of(client)) == 77


def test_a_lock_is_not_seen_and_not_deleted_by_views(site):
    client = Client()
    ask(client, write)
    key = key_of(client)
    gate().pset(key, "\0lock:cart", b"another's")

    def look(request):
        return list(request.session.keys())

    def clear(request):
        request.session.clear()
        request.session["b"] = 1

    assert ask(client, look) == ["a"]
    ask(client, clear)
    assert gate().pgetall(key) == {b"\0lock:cart": b"another's", b"b": b"1"}


def test_a_session_that_is_ended_within_a_lock_is_answered_as_an_interrupted_one(site):
    def end_meanwhile(request):
        with request.session.lock("cart", 60):
            request.session["a"] = 5
            gate().end(request.session.session_key)

    client = Client()
    ask(client, write)
    key = key_of(client)
    assert ask(client, end_meanwhile) == 400
    assert not SessionStore().exists(key)


def test_a_block_within_a_lock_raises_what_it_raises(site):
    def ask_another(request):
        try:
            with request.session.lock("cart", 60):
                request.session["a"] = 5
                gate().ttl(gate().mint())
        except NoSession:
            return "the block's own"

    client = Client()
    ask(client, write)
    assert ask(client, ask_another) == "the block's own"
    assert gate().pgetall(key_of(client)) == {b"a": b"1"}


def test_a_logout_within_a_lock_is_one(site):
    def end_it(request):
        with request.session.lock("cart", 60):
            request.session["a"] = 5
            request.session.flush()

    client = Client()
    ask(client, write)
    key = key_of(client)
    assert ask(client, end_it) is None
    assert client.cookies["sessionid"].value == ""
    assert not SessionStore().exists(key)


def test_a_key_that_is_cycled_within_a_lock_takes_the_lock_along_and_leaves_none(site):
    def cycle(request):
        with request.session.lock("cart", 60):
            request.session.cycle_key()
            request.session["a"] = 5
            return request.session.session_key

    client = Client()
    ask(client, write)
    assert ask(client, cycle) == key_of(client)
    assert gate().pgetall(key_of(client)) == {b"a": b"5"}
