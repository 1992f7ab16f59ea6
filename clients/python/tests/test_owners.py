"""Owners: logging in, the sessions of an owner listed and ended, at once and one by one."""

from datetime import datetime, timedelta, timezone

import pytest
from support import KEY, OLD_KEY

from sessiongate import BadArgument, BadSignature, BadToken, NoSession


def test_the_sessions_of_an_owner_are_listed_and_ended(gate):
    tokens = [gate.ostart("user:1", payloads={"n": b"%d" % n}) for n in range(3)]
    other = gate.ostart("user:2")
    assert gate.olist("user:1") == tokens
    assert gate.olist(b"user:1") == tokens
    assert gate.info(tokens[0]).owner == b"user:1"
    assert gate.oend("user:1", keep=tokens[1]) == 2
    assert gate.olist("user:1") == [tokens[1]]
    assert gate.end_all("user:1") == 1
    assert gate.olist("user:1") == []
    assert gate.oend("user:1") == 0
    assert gate.olist("user:2") == [other]


def test_limit_ends_the_oldest(gate):
    tokens = [gate.ostart("o", limit=2) for _ in range(3)]
    assert gate.olist("o") == tokens[1:]
    with pytest.raises(NoSession):
        gate.ttl(tokens[0])


def test_ttl_and_max_ttl_are_those_of_the_call_or_the_gates(gates):
    gate = gates(ttl=50, max_ttl=500)
    info = gate.info(gate.ostart("o"))
    assert (info.idle, info.deadline - info.created) == (50, timedelta(seconds=500))
    info = gate.info(gate.ostart("o", ttl=20, max_ttl=30))
    assert (info.idle, info.deadline - info.created) == (20, timedelta(seconds=30))


@pytest.mark.parametrize("owner", ["", "o" * 201])
def test_an_owner_of_another_length_is_refused(gate, owner):
    for call in (gate.ostart, gate.olist, gate.oend, gate.sessions):
        with pytest.raises(BadArgument):
            call(owner)


def test_keep_must_be_a_living_session_of_the_owner_or_nothing_ends(gates):
    gate = gates()
    token = gate.ostart("o")
    for keep, error in (
        (gate.ostart("other"), NoSession),
        (gate.start(), NoSession),
        (gate.mint(), NoSession),
        (gates([b"another"]).mint(), BadSignature),
        ("nonsense", BadToken),
        ("", BadToken),
    ):
        with pytest.raises(error):
            gate.oend("o", keep=keep)
        assert gate.olist("o") == [token]


def test_a_session_to_keep_that_is_not_stored_ends_nothing(gate):
    token = gate.ostart("o")
    with pytest.raises(NoSession):
        gate.end_all("o", keep=gate.session().token)
    assert gate.olist("o") == [token]


def test_the_sessions_of_older_sign_keys_are_the_owners_too(gates):
    old = gates([OLD_KEY])
    older, keep_old = old.ostart("o"), old.ostart("o")
    gate = gates([KEY, OLD_KEY])
    newer = gate.ostart("o")
    assert gate.olist("o") == [older, keep_old, newer]
    assert len(gate.sessions("o")) == 3
    assert gate.oend("o", keep=keep_old) == 2
    assert gate.olist("o") == [keep_old]
    gate.ostart("o")
    assert gate.oend("o") == 2


def test_devices_say_what_a_page_needs_and_no_token(gate):
    one = gate.ostart("o", payloads={"agent": b'"Firefox"', "broken": b"{"})
    other = gate.ostart("o", payloads={"agent": b'"Safari"'})
    devices = gate.sessions("o", current=other)
    assert [device.payloads["agent"] for device in devices] == ["Firefox", "Safari"]
    assert [device.current for device in devices] == [False, True]
    assert all(datetime.now(timezone.utc) - device.started < timedelta(minutes=1) for device in devices)
    assert set(devices[0].payloads) == {"agent", "broken"}
    assert len({device.id for device in devices}) == 2
    for device in devices:
        assert len(device.id) == 32
        assert one not in repr(device)
        assert other not in repr(device)


def test_one_device_is_ended_by_its_id(gate):
    one, other = gate.ostart("o"), gate.ostart("o")
    device = gate.sessions("o")[0]
    assert gate.end_session("someone else", device.id) is False
    assert gate.end_session("o", device.id) is True
    assert gate.end_session("o", device.id) is False
    assert gate.end_session("o", one) is False
    for nothing in (None, 3, b"bytes", "", "\ud800"):
        assert gate.end_session("o", nothing) is False
    assert gate.olist("o") == [other]


def test_many_devices(gate, server):
    for n in range(250):
        gate.ostart("o", payloads={"n": b"%d" % n})
    assert [device.payloads["n"] for device in gate.sessions("o")] == list(range(250))


def test_login_makes_a_new_session_of_the_owner_and_ends_the_old_one(gate, server):
    session = gate.session(gate.start(payloads={"cart": b"[1]", "gone": b"1", b"\xff": b"x"}))
    assert session["cart"] == [1]
    visitor = session.token
    session["user"] = 1
    del session["gone"]
    with server.trips() as made:
        session.login("user:1")
    assert made.count == 3
    assert session.token != visitor
    with pytest.raises(NoSession):
        gate.ttl(visitor)
    assert gate.olist("user:1") == [session.token]
    assert gate.pgetall(session.token) == {b"cart": b"[1]", b"user": b"1", b"\xff": b"x"}
    with server.trips() as made:
        session.save()
    assert made.count == 0


def test_login_of_a_visitor_without_a_session_is_one_round_trip(gate, server):
    session = gate.session()
    session["user"] = 1
    with server.trips() as made:
        session.login("user:1")
    assert made.count == 1
    assert dict(gate.session(session.token)) == {"user": 1}
    assert gate.olist("user:1") == [session.token]


def test_login_loses_nothing_of_what_another_request_wrote(gate):
    token = gate.start(payloads={"cart": b"[1]", "seen": b"1"})
    session = gate.session(token)
    assert session["cart"] == [1]
    assert session["seen"] == 1
    gate.pmset(token, {"cart": b"[1,2]", "more": b"3"})
    session["user"] = 1
    session.login("o")
    assert dict(session) == {"cart": [1, 2], "more": 3, "seen": 1, "user": 1}
    assert dict(gate.session(session.token)) == dict(session)


def test_what_was_handed_out_before_a_login_is_noticed_after_it(gate):
    session = gate.session(gate.start(payloads={"cart": b"[1]"}))
    cart = session["cart"]
    session.login("o")
    cart.append(2)
    session.save()
    assert gate.session(session.token)["cart"] == [1, 2]


def test_nobody_is_logged_in_by_a_session_that_has_ended(gate, server):
    session = gate.session(gate.start(payloads={"a": b"1"}))
    assert session["a"] == 1
    gate.end(session.token)
    with pytest.raises(NoSession):
        session.login("o")
    assert gate.olist("o") == []
    assert server.admin().dbsize() == 0


def test_login_of_the_same_owner_again_rotates(gate):
    session = gate.session()
    session["a"] = 1
    session.login("o")
    first = session.token
    session["b"] = 2
    session.login("o")
    assert session.token != first
    assert gate.olist("o") == [session.token]
    session.save()
    assert dict(gate.session(session.token)) == {"a": 1, "b": 2}


def test_login_of_another_owner_moves_the_session(gate):
    session = gate.session()
    session["a"] = 1
    session.login("o")
    session.login("p")
    assert gate.olist("o") == []
    assert gate.olist("p") == [session.token]


def test_a_rotation_stays_in_the_list(gate):
    session = gate.session()
    session.login("o")
    session.rotate()
    assert gate.olist("o") == [session.token]
    session.end()
    assert gate.olist("o") == []


def test_login_with_a_limit_ends_the_oldest(gate):
    sessions = [gate.session() for _ in range(3)]
    for session in sessions:
        session.login("o", limit=2)
    assert gate.olist("o") == [session.token for session in sessions[1:]]
    sessions[0]["late"] = 1
    with pytest.raises(NoSession):
        sessions[0].save()


def test_a_request_that_saves_after_everybody_was_logged_out_stays_out(gate, server):
    session = gate.session()
    session["a"] = 1
    session.login("o")
    late = gate.session(session.token)
    late["a"] = 2
    assert gate.end_all("o") == 1
    with pytest.raises(NoSession):
        late.save()
    assert server.admin().dbsize() == 0
