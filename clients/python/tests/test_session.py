"""A session: what is loaded, what is sent, and that an ended one stays ended."""

import asyncio
import json
import threading

import pytest
from support import KEY, OLD_KEY

from sessiongate import BadArgument, BadPayload, NoPayload, NoSession


@pytest.fixture
def token(gate):
    return gate.start(payloads={"a": b"1", "list": b"[1,2]", "text": b'"t"'})


# Loading


@pytest.mark.parametrize("gates", ["blocking"], indirect=True)
def test_a_blocking_session_is_loaded_when_it_is_looked_at_and_once(gate, server, token):
    with server.trips() as made:
        session = gate.session(token)
        assert not session.is_loaded
        repr(session)
        session.save()
    assert made.count == 0
    with server.trips() as made:
        assert session["a"] == 1
        assert dict(session) == {"a": 1, "list": [1, 2], "text": "t"}
        assert session.token == token
    assert made.count == 1
    for look in (
        lambda session: session.get("a"),
        lambda session: "a" in session,
        lambda session: list(session),
        lambda session: session.token,
        lambda session: session.is_new,
        lambda session: session.pop("a", None),
        lambda session: session.update(b=1),
        lambda session: session.clear(),
        lambda session: len(session),
    ):
        with server.trips() as made:
            look(gate.session(token))
        assert made.count == 1


def test_reading_costs_one_round_trip_and_writing_another(gate, server, token):
    with server.trips() as made:
        session = gate.session(token)
        assert session["a"] == 1
    assert made.count == 1
    with server.trips() as made:
        session.save()
    assert made.count == 0
    session["a"] = 2
    session["b"] = {"c": None}
    del session["text"]
    with server.trips() as made:
        session.save()
        session.save()
    assert made.count == 1
    assert gate.pgetall(token) == {b"a": b"2", b"list": b"[1,2]", b"b": b'{"c":null}'}


def test_a_new_session_costs_no_round_trip_until_it_holds_something(gate, server):
    server.admin().config_resetstat()
    with server.trips() as made:
        session = gate.session()
        assert session.is_new
        assert session.token is None
        assert dict(session) == {}
        session.save()
        session["a"] = 1
        del session["a"]
        session.save()
        session.rotate()
        session.end()
    assert made.count == 0
    session["a"] = 1
    with server.trips() as made:
        session.save()
    assert made.count == 1
    assert not session.is_new
    assert gate.pgetall(session.token) == {b"a": b"1"}
    assert set(server.calls()) == {"adopt", "pgetall"}


@pytest.mark.parametrize("kind", ["forged", "malformed", "empty"])
def test_a_token_that_does_not_verify_is_a_new_session_without_a_round_trip(gates, server, kind):
    gate = gates()
    token = {"forged": gates([b"another"]).mint(), "malformed": "x" * 61, "empty": ""}[kind]
    before = server.calls()
    with server.trips() as made:
        session = gate.session(token)
        assert session.is_new
        assert session.token is None
        assert dict(session) == {}
    assert made.count == 0
    assert server.calls() == before
    session["a"] = 1
    session.save()
    assert session.token != token


def test_an_unknown_token_is_a_new_session_under_another_token(gate):
    token = gate.mint()
    session = gate.session(token)
    assert session.is_new
    session["a"] = 1
    session.save()
    assert session.token not in (None, token)
    with pytest.raises(NoSession):
        gate.ttl(token)


def test_loading_refreshes_the_life_where_that_is_due(gates, server):
    gate = gates(ttl=1000, refresh=0)
    token = gate.start()
    server.admin().pexpire(token, 500_000)
    dict(gate.session(token))
    assert gate.ttl(token) == 1000


def test_a_refresh_is_never_rarer_than_a_tenth_of_the_life(gates, server):
    for ttl, not_yet, due in ((1800, 1750, 1730), (100, 95, 85)):
        gate = gates(ttl=ttl, refresh=60)
        token = gate.start()
        for seconds_left, then in ((not_yet, not_yet), (due, ttl)):
            server.admin().pexpire(token, seconds_left * 1000)
            dict(gate.session(token))
            assert gate.ttl(token) == then


def test_a_refresh_that_fails_does_not_fail_the_load(gates, server, token):
    admin = server.admin()
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">p", "allkeys", "+@all", "-sessiongate.touch")
    try:
        gate = gates(options={"username": "reader", "password": "p"})
        assert gate.session(token)["a"] == 1
    finally:
        admin.execute_command("ACL", "DELUSER", "reader")


# Values


def test_values_are_json_and_come_back_as_they_were(gate):
    values = {
        "none": None,
        "true": True,
        "int": 2**70,
        "float": 1.5,
        "text": "ä\x00\U0001f600",
        "list": [1, [2, {"a": []}]],
        "map": {"__proto__": {"x": 1}},
        "__proto__": "p",
        "n" * 200: 1,
        "ä" * 100: 1,
        " ": "",
    }
    session = gate.session()
    session.update(values)
    session.save()
    assert dict(gate.session(session.token)) == values
    assert gate.pget(session.token, "text") == '"ä\\u0000\U0001f600"'.encode()


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, float("nan"), float("inf")])
def test_what_is_no_json_is_refused_by_save_and_nothing_is_stored(gate, server, value):
    session = gate.session()
    session["fine"] = 1
    session["bad"] = value
    with server.trips() as made, pytest.raises((TypeError, ValueError)):
        session.save()
    assert made.count == 0
    del session["bad"]
    session.save()
    assert dict(gate.session(session.token)) == {"fine": 1}


@pytest.mark.parametrize("name", ["", "n" * 201, "ä" * 101, "\udcff"])
def test_a_name_of_another_length_or_not_of_utf_8_is_refused_when_it_is_set(gate, name):
    session = gate.session()
    with pytest.raises(BadArgument):
        session[name] = 1
    with pytest.raises(BadArgument):
        session.take(name)
    assert dict(session) == {}


@pytest.mark.parametrize("name", [1, None, b"bytes", ("a",)])
def test_a_name_that_is_no_text_is_refused_when_it_is_set(gate, name):
    with pytest.raises(TypeError):
        gate.session()[name] = 1


def test_a_payload_that_is_no_json_hides_no_other_and_is_left_alone(gate, token):
    gate.pset(token, "broken", b"\x80\x04K\x01.")  # a pickle
    gate.pset(token, b"\xff\xfe", b"a name that is no UTF-8")
    session = gate.session(token)
    assert session["a"] == 1
    assert "broken" in session
    with pytest.raises(BadPayload) as raised:
        session["broken"]
    assert raised.value.__context__ is None
    assert set(session) == {"a", "list", "text", "broken"}
    session["a"] = 5
    session.save()
    stored = gate.pgetall(token)
    assert stored[b"broken"] == b"\x80\x04K\x01."
    assert stored[b"\xff\xfe"] == b"a name that is no UTF-8"
    session["broken"] = "mended"
    session.save()
    assert gate.pget(token, "broken") == b'"mended"'


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"-Infinity", b'{"a":1e400}', b"-1e999"])
def test_a_number_that_is_none_of_json_is_a_broken_payload_and_no_save_fails_of_it(gate, token, data):
    gate.pset(token, "number", data)
    session = gate.session(token)
    with pytest.raises(BadPayload):
        session["number"]
    session["a"] = 2
    session.save()
    assert gate.pmget(token, ["a", "number"]) == [b"2", data]


def test_half_a_surrogate_pair_is_kept(gate, server, token):
    gate.pset(token, "half", b'"\\ud800"')
    session = gate.session(token)
    assert session["half"] == "\ud800"
    with server.trips() as made:
        session.save()
    assert made.count == 0
    session["other"] = {"\udfff": "\ud800\u00e4"}
    session.save()
    assert gate.session(token)["other"] == {"\udfff": "\ud800\u00e4"}


def test_a_session_with_a_payload_that_cannot_be_seen_is_not_emptied(gate):
    token = gate.start(payloads={"a": b"1", b"\xff": b"2"})
    session = gate.session(token)
    session.clear()
    assert not session.is_emptied
    session.save()
    assert gate.pgetall(token) == {b"\xff": b"2"}


def test_a_pickle_is_never_loaded(gate, token, tmp_path):
    gate.pset(token, "a", b"cos\nmkdir\n(S'%s'\ntR." % str(tmp_path / "made").encode())
    with pytest.raises(BadPayload):
        gate.session(token)["a"]
    assert not (tmp_path / "made").exists()


def test_json_nested_too_deep_is_a_broken_payload(gate, token):
    gate.pset(token, "deep", b"[" * 100_000)
    with pytest.raises(BadPayload):
        gate.session(token)["deep"]


def test_the_serializer_can_be_replaced(gates):
    class Shout:
        def dumps(self, value):
            return json.dumps(value).upper().encode()

        def loads(self, data):
            return json.loads(data.decode().lower())

    gate = gates(serializer=Shout())
    session = gate.session()
    session["a"] = "text"
    session.save()
    assert gate.pget(session.token, "a") == b'"TEXT"'
    assert gate.session(session.token)["a"] == "text"


# Saving


def test_the_same_value_again_is_not_sent(gate, server, token):
    session = gate.session(token)
    session["a"] = 1
    session["list"] = [1, 2]
    session["list"] = (1, 2)
    text = session["text"]
    session["text"] = text
    with server.trips() as made:
        session.save()
    assert made.count == 0


def test_what_another_language_spelt_otherwise_is_not_sent_again(gate, server, token):
    spelt = {"map": b'{ "b":1,\n "a" : 1.50 }', "text": b'"\\u00e4\\/"', "exp": b"1E2"}
    gate.pmset(token, spelt)
    session = gate.session(token)
    assert dict(session)["map"] == {"a": 1.5, "b": 1}
    session["text"] = "ä/"
    session["exp"] = 100.0
    with server.trips() as made:
        session.save()
    assert made.count == 0
    session["map"]["a"] = 2
    session.save()
    assert gate.pget(token, "map") == b'{"b":1,"a":2}'
    assert gate.pget(token, "text") == spelt["text"]


def test_a_change_inside_a_value_is_noticed(gate, server, token):
    session = gate.session(token)
    session["list"].append({"x": []})
    session.save()
    session["list"][-1]["x"].append(1)
    session.save()
    assert gate.pget(token, "list") == b'[1,2,{"x":[1]}]'
    with server.trips() as made:
        session.save()
    assert made.count == 0


def test_two_requests_that_change_different_keys_both_win(gate, token):
    one, other = gate.session(token), gate.session(token)
    assert (one["a"], other["a"], other["list"]) == (1, 1, [1, 2])
    one["a"] = "one"
    other["b"] = "other"
    del other["text"]
    other.save()
    one.save()
    assert gate.pgetall(token) == {b"a": b'"one"', b"list": b"[1,2]", b"b": b'"other"'}


def test_what_was_only_read_is_never_written_back(gate, token):
    session = gate.session(token)
    assert session["list"] == [1, 2]
    gate.pset(token, "list", b"[3]")
    session["a"] = 2
    session.save()
    assert gate.pget(token, "list") == b"[3]"


def test_what_was_deleted_by_another_is_deleted_once_more_without_an_error(gate, token):
    session = gate.session(token)
    del session["a"]
    gate.pdel(token, "a")
    session.save()
    assert "a" not in gate.session(token)


def test_deleted_and_set_again(gate, server, token):
    session = gate.session(token)
    del session["a"]
    assert "a" not in session
    with pytest.raises(KeyError):
        session["a"]
    with pytest.raises(KeyError):
        del session["a"]
    session["a"] = 1
    with server.trips() as made:
        session.save()
    assert made.count == 0
    assert session.pop("a") == 1
    assert session.pop("a", None) is None
    session.save()
    assert "a" not in gate.session(token)


def test_cleared_is_stored_and_empty(gate, token):
    session = gate.session(token)
    session.clear()
    assert len(session) == 0
    session.save()
    assert gate.pgetall(token) == {}


def test_many_names_in_one_round_trip(gate, server, token):
    session = gate.session(token)
    session.clear()
    session.update({f"n{n}": n for n in range(500)})
    with server.trips() as made:
        session.save()
    assert made.count <= 2  # one write, which the server may read in pieces
    assert len(gate.pgetall(token)) == 500


def test_a_session_saved_after_it_was_ended_stays_ended(gate, server, token):
    session = gate.session(token)
    session["a"] = 2
    gate.end(token)
    for _ in range(2):
        with pytest.raises(NoSession):
            session.save()
    assert server.admin().dbsize() == 0
    session["b"] = 2
    with pytest.raises(NoSession):
        session.save()
    with pytest.raises(NoSession):
        session.rotate()
    with pytest.raises(NoSession):
        session.take("text")
    assert server.admin().dbsize() == 0


def test_parallel_writers_of_different_keys_lose_nothing(gates, token):
    gate = gates()
    if gates.kind == "asyncio":

        async def write(n):
            session = await gate.gate.session(token)
            assert session["a"] == 1
            session[f"n{n}"] = n
            await asyncio.sleep(0)
            await session.save()

        async def all_at_once():
            await asyncio.gather(*(write(n) for n in range(50)))

        gates.run(asyncio.ensure_future(all_at_once(), loop=gates.loop))
    else:

        def write(n):
            session = gate.session(token)
            assert session["a"] == 1
            session[f"n{n}"] = n
            barrier.wait()
            session.save()

        barrier = threading.Barrier(50)
        threads = [threading.Thread(target=write, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {name: value for name, value in gate.session(token).items() if name.startswith("n")} == {
        f"n{n}": n for n in range(50)
    }


def test_saves_of_one_object_are_queued_so_that_one_session_is_made(gates, server):
    gate = gates()
    if gates.kind == "asyncio":

        async def save_often():
            session = await gate.gate.session()
            session["a"] = 1
            saves = []
            for n in range(10):
                session["n"] = n
                saves.append(asyncio.ensure_future(session.save()))
                await asyncio.sleep(0)
            await asyncio.gather(*saves)
            return session

        session = gate.run(gates.loop.run_until_complete(save_often()))
    else:
        session = gate.session()
        session["a"] = 1
        session["n"] = 9
        threads = [threading.Thread(target=session.save) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.admin().dbsize() == 1
    assert dict(gate.session(session.token)) == {"a": 1, "n": 9}


@pytest.mark.parametrize("gates", ["asyncio"], indirect=True)
def test_what_changes_while_a_save_is_on_its_way_is_saved_with_the_next(gates):
    gate = gates().gate

    async def change_meanwhile():
        session = await gate.session()
        session.update(kept=1, changed=1, gone=1)
        saving = asyncio.ensure_future(session.save())
        await asyncio.sleep(0)  # it is on its way
        assert not saving.done()
        session["changed"] = 2
        del session["gone"]
        await saving
        assert dict(session) == {"kept": 1, "changed": 2}
        await session.save()
        return dict(await gate.session(session.token))

    assert gates.run(change_meanwhile()) == {"kept": 1, "changed": 2}


# Taking, rotating, ending


def test_take_is_at_the_server_so_that_one_gets_it(gate, server, token):
    one, other = gate.session(token), gate.session(token)
    assert one["list"] == other["list"] == [1, 2]
    assert one.take("list") == [1, 2]
    with pytest.raises(NoPayload):
        other.take("list")
    assert "list" not in one
    with server.trips() as made:
        one.save()
    assert made.count == 0
    with pytest.raises(NoPayload):
        one.take("absent")


def test_take_gives_what_was_set_here_and_not_saved(gate, token):
    session = gate.session(token)
    session["a"] = 7
    session["new"] = 8
    assert session.take("a") == 7
    assert session.take("new") == 8
    del session["text"]
    with pytest.raises(NoPayload):
        session.take("text")
    session.save()
    assert gate.pgetall(token) == {b"list": b"[1,2]"}
    fresh = gate.session()
    fresh["x"] = 1
    assert fresh.take("x") == 1
    with pytest.raises(NoPayload):
        fresh.take("x")


def test_rotate_is_one_round_trip_and_the_old_token_is_dead(gate, server, token):
    session = gate.session(token)
    assert session["a"] == 1
    session["b"] = 2
    with server.trips() as made:
        session.rotate()
    assert made.count == 1
    assert session.token != token
    session.save()
    assert gate.pget(session.token, "b") == b"2"
    with pytest.raises(NoSession):
        gate.ttl(token)


def test_rotate_keeps_the_deadline_and_moves_to_the_newest_sign_key(gates):
    old = gates([OLD_KEY], max_ttl=500)
    token = old.start()
    deadline = old.info(token).deadline
    gate = gates([KEY, OLD_KEY], max_ttl=5000)
    session = gate.session(token)
    session.rotate()
    assert gate.verify(session.token).position == 0
    assert gate.info(session.token).deadline == deadline


def test_end_ends_it_once_and_for_all_and_leaves_a_new_session(gate, server, token):
    session = gate.session(token)
    assert session["a"] == 1
    session["b"] = 1
    with server.trips() as made:
        session.end()
    assert made.count == 1
    with pytest.raises(NoSession):
        gate.ttl(token)
    assert session.is_new
    assert dict(session) == {}
    session.end()
    session["c"] = 1
    session.save()
    assert session.token not in (None, token)
    assert dict(gate.session(session.token)) == {"c": 1}


def test_end_of_a_session_that_has_ended_is_no_error(gate, token):
    session = gate.session(token)
    assert session["a"] == 1
    gate.end(token)
    session.end()
    assert session.is_new


def test_save_can_set_the_life_too_in_the_same_round_trip(gate, server, token):
    session = gate.session(token)
    session["a"] = 2
    with server.trips() as made:
        session.save(ttl=99)
    assert made.count == 1
    assert gate.ttl(token) == 99
    new = gate.session()
    new.save(ttl=88, even_if_empty=True)
    assert gate.ttl(new.token) == 88


def test_a_session_shows_neither_its_token_nor_what_it_holds(gate, token):
    session = gate.session(token)
    session["secret"] = "confidential"
    assert token not in repr(session)
    assert "confidential" not in repr(session)
