"""Locks of a session: one holder at a time, released by nobody else, seen by no session."""

import asyncio
import contextlib
import math
import os
import subprocess
import sys
import textwrap
import time

import pytest
from support import KEY, at_once, wait_for

import sessiongate
from sessiongate import BadArgument, LockTimeout, NoSession
from sessiongate.session import Lock, acquire

LOCK = b"\0lock:cart"


@pytest.fixture
def token(gate):
    return gate.start(payloads={"n": b"0", "a": b"1"})


def locks_of(gate, token):
    return {name for name in gate.pgetall(token) if name.startswith(b"\0lock:")}


def start_process(driver, server, program):
    """A process of its own that runs a program on a Gate."""
    head = f"""
        import os
        import {driver.name} as driver
        import sessiongate
        gate = sessiongate.Gate(driver.{driver.Single.__name__}(port={server.port}), [{KEY!r}])
    """
    program = textwrap.dedent(head) + textwrap.dedent(program)
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program], env=path)


# What it does


def test_a_lock_is_a_payload_with_a_life_that_its_holder_alone_knows(gate, token):
    values = set()
    for _ in range(2):
        with gate.session(token).lock("cart", 60.5):
            assert locks_of(gate, token) == {LOCK}
            assert 40_000 < gate.pttl(token, LOCK) <= 60_500
            values.add(gate.pget(token, LOCK))
        assert locks_of(gate, token) == set()
    assert len(values) == 2
    assert all(len(bytes.fromhex(value.decode())) == 16 for value in values)


def test_what_was_changed_before_is_stored_before_the_block(gate, token):
    session = gate.session(token)
    session["a"] = 2
    with session.lock("cart", 5):
        assert gate.pget(token, "a") == b"2"


def test_the_block_reads_what_another_has_written_and_what_it_writes_is_stored_before_the_release(
    gate, token
):
    session = gate.session(token)
    assert session["n"] == 0
    gate.pset(token, "n", b"[7]")
    gate.pdel(token, "a")
    with session.lock("cart", 5) as entered:
        assert entered["n"] == session["n"] == [7]
        assert "a" not in session
        session["n"].append(8)
        session["b"] = 1
    assert gate.pgetall(token) == {b"n": b"[7,8]", b"b": b"1"}


def test_a_lock_costs_two_round_trips_around_the_block(gate, server, token):
    session = gate.session(token)
    assert session["n"] == 0
    with server.trips() as made, session.lock("cart", 5):
        assert session["n"] == 0
    assert made.count == 2


def test_locks_of_other_names_and_other_sessions_do_not_wait(gate, token):
    with gate.session(token).lock("cart", 5), gate.session(token).lock("basket", 5, wait=0):
        assert len(locks_of(gate, token)) == 2
        with gate.session(gate.start()).lock("cart", 5, wait=0):
            pass


def test_a_lock_that_another_holds_is_waited_for_and_no_longer_than_told(gate, server, token):
    with gate.session(token).lock("cart", 60):
        held = gate.pget(token, LOCK)
        for wait in (0, 0.5):
            before = server.calls().get("pset", 0)
            with pytest.raises(LockTimeout), gate.session(token).lock("cart", 60, wait=wait):
                pytest.fail("two have the lock")
            tries = server.calls()["pset"] - before
            assert tries == 1 if wait == 0 else 2 <= tries <= 15
            assert gate.pget(token, LOCK) == held


@pytest.mark.parametrize("gates", ["blocking"], indirect=True)
def test_who_waits_sleeps_a_tenth_of_a_second_at_most_and_never_past_the_bound(gate, token):
    gate.pset(token, LOCK, b"another's")
    session = gate.session(token)
    session.load()
    pauses = []

    def wait():
        plan = acquire(session, Lock("cart", 60, 0.5))
        asked = next(plan)
        while True:
            if isinstance(asked, list):
                asked = plan.send(gate._send(asked))
            else:
                pauses.append(asked)
                time.sleep(asked)
                asked = plan.send(None)

    with pytest.raises(LockTimeout):
        wait()
    assert 0.005 <= pauses[0] <= 0.01
    assert max(pauses) <= 0.1
    assert sum(pauses) <= 0.5


def test_without_a_wait_it_is_waited_for_as_long_as_the_lock_would_live(gate, token):
    with (
        gate.session(token).lock("cart", 60),
        pytest.raises(LockTimeout),
        gate.session(token).lock("cart", 0.02),
    ):
        pytest.fail("two have the lock")


def test_a_second_lock_of_that_name_waits_for_that_of_the_same_session_as_well(gate, token):
    session = gate.session(token)
    with session.lock("cart", 60):
        session["a"] = 5
        with pytest.raises(LockTimeout), session.lock("cart", 60, wait=0):
            pytest.fail("it is re-entrant")
        assert session["a"] == 5
    assert gate.pget(token, "a") == b"5"


def test_a_lock_whose_holder_died_ends_by_itself(gate, token):
    gate.pset(token, LOCK, b"the dead one's", px=40)
    with gate.session(token).lock("cart", 60, wait=20):
        assert gate.pget(token, LOCK) != b"the dead one's"


def test_a_holder_that_was_killed_leaves_the_lock_to_its_end(gate, server, driver, token):
    program = f"""
        with gate.session({token!r}).lock("cart", 0.4) as session:
            session["n"] = "never saved"
            os.kill(os.getpid(), 9)
    """
    assert start_process(driver, server, program).wait(60) == -9
    with gate.session(token).lock("cart", 60, wait=20) as session:
        assert session["n"] == 0


# Many at once


def test_two_that_add_to_one_value_under_a_lock_lose_nothing(gates, token):
    """Without a lock some are lost: both read the same number, and both write the next."""
    gate = gates()
    if gates.kind == "asyncio":

        async def add():
            for _ in range(100):
                async with (await gate.gate.session(token)).lock("n", 60) as session:
                    session["n"] += 1

        async def add_both():
            await asyncio.gather(add(), add())

        gates.run(asyncio.ensure_future(add_both(), loop=gates.loop))
    else:

        def add():
            for _ in range(100):
                with gate.session(token).lock("n", 60) as session:
                    session["n"] += 1

        at_once(add, 2)
    assert gate.pgetall(token) == {b"n": b"200", b"a": b"1"}


def test_threads_or_tasks_that_share_a_session_take_turns(gates, token):
    gate = gates()
    if gates.kind == "asyncio":

        async def add_all():
            session = await gate.gate.session(token)

            async def add():
                for _ in range(10):
                    async with session.lock("n", 60):
                        n = session["n"]
                        await asyncio.sleep(0)
                        session["n"] = n + 1

            await asyncio.gather(add(), add(), add())

        gates.run(asyncio.ensure_future(add_all(), loop=gates.loop))
    else:
        session = gate.session(token)

        def add():
            for _ in range(10):
                with session.lock("n", 60):
                    session["n"] += 1

        at_once(add, 3)
    assert gate.pget(token, "n") == b"30"


def test_processes_take_turns(gate, server, driver, token):
    program = f"""
        for _ in range(100):
            with gate.session({token!r}).lock("n", 60) as session:
                session["n"] += 1
    """
    both = [start_process(driver, server, program) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert gate.pget(token, "n") == b"200"


# How it is released


class Broken(Exception):
    pass


def test_a_block_that_raises_releases_and_what_it_changed_is_forgotten(gate, token):
    session = gate.session(token)
    session["before"] = 1

    def change_and_break():
        with session.lock("cart", 5):
            session["n"] = 1
            del session["a"]
            raise Broken

    with pytest.raises(Broken):
        change_and_break()
    assert locks_of(gate, token) == set()
    session.save()
    assert dict(session) == {"n": 0, "a": 1, "before": 1}
    assert gate.pgetall(token) == {b"n": b"0", b"a": b"1", b"before": b"1"}


def test_a_save_that_fails_releases_and_what_was_changed_is_forgotten(gate, token):
    session = gate.session(token)
    with pytest.raises(TypeError), session.lock("cart", 5):
        session["n"] = object()
    assert gate.pgetall(token) == {b"n": b"0", b"a": b"1"}
    assert session["n"] == 0


def test_a_lock_that_has_ended_within_the_block_is_no_error_and_anothers_is_not_released(gate, token):
    session = gate.session(token)
    with session.lock("cart", 5):
        gate.pdel(token, LOCK)
        session["n"] = 1
    with session.lock("cart", 5):
        gate.pset(token, LOCK, b"another's")
        session["n"] = 2
    assert gate.pgetall(token) == {b"n": b"2", b"a": b"1", LOCK: b"another's"}


def test_a_session_that_was_ended_within_the_block_stays_ended(gate, server, token):
    session = gate.session(token)
    with session.lock("cart", 5):
        gate.end(token)
    with pytest.raises(NoSession), session.lock("cart", 5):
        pytest.fail("there is no session")
    session = gate.session(other := gate.start())

    def change_and_end():
        with session.lock("cart", 5):
            session["n"] = 1
            gate.end(other)

    with pytest.raises(NoSession):
        change_and_end()
    session = gate.session(gate.start())
    with session.lock("cart", 5):
        session["n"] = 1
        session.end()
    assert session.is_new
    assert server.admin().dbsize() == 0


def test_a_session_that_gets_a_new_token_within_the_block_is_released_under_that(gate, token):
    session = gate.session(token)
    with session.lock("cart", 5):
        session.rotate()
        assert locks_of(gate, session.token) == {LOCK}
        session["n"] = 1
    assert gate.pgetall(session.token) == {b"n": b"1", b"a": b"1"}
    with session.lock("cart", 5):
        session.login("o")
        session["n"] = 2
    assert gate.pgetall(session.token) == {b"n": b"2", b"a": b"1"}


def test_a_release_that_fails_does_not_hide_why_the_block_failed(make_servers, gates_of, driver):
    servers = make_servers()
    gates = gates_of(servers)
    gate = gates(options=gates.no_retries)
    session = gate.session(gate.start())

    def kill_and_break():
        with session.lock("cart", 5):
            servers("kill 0")
            raise Broken

    with pytest.raises(Broken):
        kill_and_break()
    servers("start 0")
    gates.run(gates.clients[0].connection_pool.disconnect())
    session = gate.session(gate.start())
    with pytest.raises(driver.errors.ConnectionError), session.lock("cart", 5):
        servers("kill 0")


@pytest.mark.parametrize("gates", ["asyncio"], indirect=True)
def test_a_task_that_is_cancelled_releases_however_often_it_is(gates, server, token):
    gate = gates().gate

    async def cancel(times):
        entered = asyncio.Event()

        async def hold():
            async with (await gate.session(token)).lock("cart", 60) as session:
                session["n"] = 1
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hold())
        await entered.wait()
        assert LOCK in await gate.pgetall(token)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        async with (await gate.session(token)).lock("cart", 60, wait=20) as session:
            assert session["n"] == 0

    for times in (1, 2, 3):
        gates.run(asyncio.ensure_future(cancel(times), loop=gates.loop))


@pytest.mark.parametrize("gates", ["asyncio"], indirect=True)
def test_a_task_that_is_cancelled_wherever_it_is_leaves_no_lock(gates, token):
    gate = gates().gate

    async def cancel():
        for turns in range(20):
            session = await gate.session(token)

            async def hold(session=session):
                async with session.lock("cart", 60):
                    pass

            task = asyncio.ensure_future(hold())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # which redis-py 8.1 swallows where it writes
                await task
            async with session.lock("cart", 60, wait=20):
                assert LOCK in await gate.pgetall(token)

    gates.run(asyncio.ensure_future(cancel(), loop=gates.loop))


# New sessions


def test_a_new_session_is_stored_first_if_it_holds_something(gate, server):
    session = gate.session()
    session["a"] = 1
    with session.lock("cart", 5):
        assert locks_of(gate, session.token) == {LOCK}
        session["b"] = 2
    assert gate.pgetall(session.token) == {b"a": b"1", b"b": b"2"}
    assert server.admin().dbsize() == 1


def test_a_new_session_that_holds_nothing_needs_no_lock_and_is_saved_behind_the_block(gate, server):
    session = gate.session()
    with server.trips() as made, session.lock("cart", 5):
        assert session.token is None
        session["a"] = 1
    assert made.count == 1
    assert gate.pgetall(session.token) == {b"a": b"1"}
    session = gate.session(gate.mint())
    with session.lock("cart", 5):
        pass
    assert session.is_new
    assert server.admin().dbsize() == 1


# Nobody sees it


def test_locks_are_no_part_of_what_a_session_holds(gate, token):
    gate.pset(token, LOCK, b"another's")
    session = gate.session(token)
    assert set(session) == {"n", "a"}
    assert len(session) == 2
    assert LOCK.decode() not in session
    with pytest.raises(KeyError):
        session[LOCK.decode()]
    session.clear()
    assert session.is_emptied
    session["b"] = 1
    session.save()
    assert gate.pgetall(token) == {LOCK: b"another's", b"b": b"1"}


@pytest.mark.parametrize("name", ["\0lock:", "\0lock:cart", "\0lock:ä"])
def test_a_name_that_is_a_locks_can_neither_be_set_nor_taken(gate, server, token, name):
    session = gate.session(token)
    assert session["a"] == 1
    with server.trips() as made:
        with pytest.raises(BadArgument):
            session[name] = 1
        with pytest.raises(BadArgument):
            session.take(name)
        with pytest.raises(BadArgument):
            session.setdefault(name, 1)
        session.save()
    assert made.count == 0
    session["\0lock"] = session["lock:cart"] = session["\0LOCK:"] = 1
    session.save()
    assert len(gate.pgetall(token)) == 5


def test_a_login_takes_no_lock_along_and_leaves_payloads_the_life_that_they_have(gate, server, token):
    gate.pset(token, LOCK, b"another's", px=60_000)
    gate.pset(token, "code", b"417", ex=100)
    gate.pset(token, b"\xff", b"unseen", ex=200)
    session = gate.session(token)
    assert session["code"] == 417
    gate.pset(token, "late", b"1", ex=300)
    gate.pset(token, "over", b"1", px=1)
    wait_for(lambda: b"over" not in gate.pgetall(token), what="the end of the payload")
    session.login("o")
    new = session.token
    assert gate.pgetall(new) == {b"n": b"0", b"a": b"1", b"code": b"417", b"\xff": b"unseen", b"late": b"1"}
    lives = {name: gate.pttl(new, name) for name in gate.pgetall(new)}
    assert lives.pop(b"n") == lives.pop(b"a") == -1
    for name, seconds in ((b"code", 100), (b"\xff", 200), (b"late", 300)):
        assert 1000 * (seconds - 10) < lives[name] <= 1000 * seconds
    gate.pset(new, "code", b"418", ex=100)
    session = gate.session(new)
    session["code"] = 419
    session.login("another")
    assert gate.pttl(session.token, "code") == -1
    assert set(session) == {"n", "a", "code", "late"}


def test_a_device_shows_no_lock(gate):
    token = gate.ostart("o", payloads={"n": b"1", LOCK: b"x"})
    (device,) = gate.sessions("o", current=token)
    assert dict(device.payloads) == {"n": 1}


# Arguments


@pytest.mark.parametrize("name", ["", "n" * 195, "ä" * 98, "\udcff"])
def test_a_locks_name_of_another_length_or_not_of_utf_8_is_refused(gate, server, token, name):
    session = gate.session(token)
    with server.trips() as made, pytest.raises(BadArgument), session.lock(name, 5):
        pytest.fail("it is no name")
    assert made.count == 0


@pytest.mark.parametrize("name", ["n", "n" * 194, "ä" * 97, "\0", "lock:"])
def test_a_locks_name_may_be_as_long_as_a_payloads_without_what_marks_it(gate, token, name):
    with gate.session(token).lock(name, 5):
        assert locks_of(gate, token) == {b"\0lock:" + name.encode()}


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [
        (0, None),
        (-1, None),
        (0.0009, None),
        (math.inf, None),
        (math.nan, 1),
        (5, -1),
        (5, math.nan),
    ],
)
def test_a_life_or_a_wait_that_is_none_is_refused(gate, server, token, seconds, wait):
    session = gate.session(token)
    with server.trips() as made, pytest.raises(BadArgument), session.lock("cart", seconds, wait=wait):
        pytest.fail("it is no life")
    assert made.count == 0


def test_a_lock_that_would_live_longer_than_the_server_allows_is_refused_by_it(gate, token):
    with pytest.raises(BadArgument), gate.session(token).lock("cart", 1e15):
        pytest.fail("it is no life")
    assert issubclass(LockTimeout, sessiongate.SessionGateError)
