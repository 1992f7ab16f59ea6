"""The life of a session: TTL, INFO, TOUCH with and without MINAGE, and the deadline of MAXTTL."""

import time

import pytest

from features import Observers, info, pairs, sg, signed_v2
from harness import (KEY, LARGEST_TTL, Stream, end, error_code, expire, pdel, pset, signed,
                     start, wait_for)

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}


def expiry(r, token):
    return r.execute_command("PEXPIRETIME", token)


def now(r):
    """The server's clock in ms."""
    seconds, microseconds = r.time()
    return seconds * 1000 + microseconds // 1000


def was_refreshed(r, token, ttl, seconds_ago):
    """Let the session be as if its last refresh, with that ttl, was so long ago."""
    r.pexpire(token, (ttl - seconds_ago) * 1000)


# TTL ---------------------------------------------------------------------------------------------

def test_ttl_answers_the_seconds_left_as_the_servers_own_ttl_does(r):
    for ttl in (1, 60, LARGEST_TTL):
        token = start(r, KEY, ttl)
        assert sg(r, "TTL", token) == ttl
        # Both in one transaction: they see nearly the same moment, and may straddle half a second.
        r.pexpire(token, 5_000_250)
        with r.pipeline(transaction=True) as transaction:
            transaction.execute_command("SESSIONGATE.TTL", KEY, token)
            transaction.ttl(token)
            ours, theirs = transaction.execute()
        assert ours in (5000, 4999) and abs(ours - theirs) <= 1


@pytest.mark.parametrize("left, said", [(100_900, 101), (100_400, 100), (900, 1), (400, 0)])
def test_ttl_is_rounded_to_the_nearest_second(server, r, left, said):
    """Within a transaction no time passes for expiry, and next to none for the clock."""
    token = start(r)
    with r.pipeline(transaction=True) as transaction:
        transaction.pexpire(token, left)
        transaction.execute_command("SESSIONGATE.TTL", KEY, token)
        assert transaction.execute()[1] == said


def test_a_session_without_expiry_has_ttl_minus_1(r):
    token = start(r)
    r.persist(token)
    assert sg(r, "TTL", token) == -1
    assert info(r, token)["ttl"] == -1
    assert sg(r, "TOUCH", token) == 60
    assert sg(r, "TTL", token) == 60


# INFO --------------------------------------------------------------------------------------------

def test_info_tells_what_is_known_of_a_session(r):
    before = now(r)
    token = sg(r, "START", 100, "MAXTTL", 500, "PAYLOADS", 2, b"name", b"data", b"\0", b"x" * 1000)
    after = now(r)
    about = info(r, token)
    assert before <= about["created"] <= after
    assert 95_000 < about.pop("ttl") <= 100_000
    assert about == {"created": about["created"], "idle": 100_000, "payloads": 2, "bytes": 1009,
                     "deadline": about["created"] + 500_000, "owner": None}


def test_info_counts_payloads_and_their_bytes(r):
    token = start(r)

    def count():
        about = info(r, token)
        return about["payloads"], about["bytes"]
    assert count() == (0, 0)
    pset(r, token, b"ab", b"cde")
    assert count() == (1, 5)
    pset(r, token, b"ab", b"c")
    assert count() == (1, 3)
    sg(r, "PMSET", token, b"ab", b"cd", b"n", b"d", b"n", b"dd")
    assert count() == (2, 7)
    sg(r, "PPOP", token, b"ab")
    assert count() == (1, 3)
    pdel(r, token, b"n")
    assert count() == (0, 0)


def test_info_is_a_map_in_resp3_and_a_flat_array_in_resp2(server, r):
    token = start(r, KEY, LARGEST_TTL)
    call = ("SESSIONGATE.INFO", KEY, token)
    names = [b"created", b"ttl", b"idle", b"deadline", b"payloads", b"bytes", b"owner"]
    with server.wire(2) as two, server.wire(3) as three:
        flat, map = two.call(*call), three.call(*call)
    assert isinstance(flat, list) and flat[::2] == names
    assert isinstance(map, dict) and list(map) == names
    assert map[b"owner"] is None
    assert all(isinstance(map[name], int) for name in names[:-1])
    assert {**pairs(flat), b"ttl": 0} == {**map, b"ttl": 0}


def test_created_and_deadline_are_of_the_start_whatever_happens_later(r):
    token = sg(r, "START", 100, "MAXTTL", 5000)
    about = info(r, token)
    pset(r, token, b"n", b"d")
    expire(r, token, 200)
    sg(r, "TOUCH", token)
    r.pexpire(token, 50_000)
    later = info(r, token)
    assert (later["created"], later["deadline"]) == (about["created"], about["deadline"])
    assert later["idle"] == 200_000


# TOUCH -------------------------------------------------------------------------------------------

def test_touch_sets_the_ttl_back_to_what_start_or_expire_gave(r):
    token = start(r, KEY, 1000)
    was_refreshed(r, token, 1000, 900)
    assert sg(r, "TOUCH", token) == 1000
    assert 995_000 < r.pttl(token) <= 1_000_000
    expire(r, token, 500)
    was_refreshed(r, token, 500, 400)
    assert sg(r, "TOUCH", token) == 500
    assert 495_000 < r.pttl(token) <= 500_000


def test_touch_answers_an_integer(server, r):
    token = start(r, KEY, 1000)
    with server.wire(2) as two, server.wire(3) as three:
        for wire in (two, three):
            wire.expect([("SESSIONGATE.TOUCH", KEY, token), ("SESSIONGATE.TTL", KEY, token)],
                        [b":1000\r\n"] * 2)


def test_touch_moves_the_expiry_and_nothing_else(server, r):
    token = sg(r, "START", 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d")
    was_refreshed(r, token, 1000, 10)
    [(digest, before)] = server.sessions().values()
    assert sg(r, "TOUCH", token) == 1000
    [(digest_after, after)] = server.sessions().values()
    assert digest_after == digest
    assert 9_900 < after - before < 15_000


@pytest.mark.parametrize("ago, minage, refreshes", [
    (50, 60, False), (50, 40, True), (50, 51, False), (51, 50, True), (0, 1, False), (50, 0, True),
    (50, LARGEST_TTL, False)])
def test_minage_refreshes_only_what_was_refreshed_longer_ago(r, ago, minage, refreshes):
    token = start(r, KEY, 1000)
    with r.pipeline(transaction=True) as transaction:  # so that next to no time passes
        was_refreshed(transaction, token, 1000, ago)
        transaction.execute_command("PEXPIRETIME", token)
        sg(transaction, "TOUCH", token, "MINAGE", minage)
        _, before, left = transaction.execute()
    if refreshes:
        assert left == 1000 and expiry(r, token) > before
    else:
        assert left == 1000 - ago and expiry(r, token) == before


@pytest.mark.parametrize("ago, refreshes", [(14, False), (15, True), (29, True)])
def test_minage_counts_as_at_most_half_of_the_ttl(r, ago, refreshes):
    """Else a session whose life is shorter than MINAGE would end while it is used."""
    token = start(r, KEY, 30)
    with r.pipeline(transaction=True) as transaction:
        was_refreshed(transaction, token, 30, ago)
        sg(transaction, "TOUCH", token, "MINAGE", 60)
        *_, left = transaction.execute()
    assert left == (30 if refreshes else 30 - ago)


def test_every_refresh_counts_for_minage(r):
    """START, EXPIRE and TOUCH refresh; writing payloads does not."""
    for refresh in (lambda: expire(r, token, 1000), lambda: sg(r, "TOUCH", token)):
        token = start(r, KEY, 1000)
        was_refreshed(r, token, 1000, 100)
        pset(r, token, b"n", b"d")
        refresh()
        before = expiry(r, token)
        sg(r, "TOUCH", token, "MINAGE", 60)
        assert expiry(r, token) == before


def test_touch_under_minage_does_nothing_at_all(server, r):
    """No write, no replication, no event, no invalidation."""
    token = start(r, KEY, 1000)
    was_refreshed(r, token, 1000, 50)
    before = server.sessions()
    with Observers(server, token) as observers:
        for _ in range(3):
            assert sg(r, "TOUCH", token, "MINAGE", 60) <= 950
            assert observers.noticed() == set()
        assert server.sessions() == before
        assert sg(r, "TOUCH", token, "MINAGE", 40) == 1000
        assert observers.noticed() == Observers.EVERYBODY


def test_touch_does_not_revive_a_session(r):
    token = start(r)
    end(r, token)
    for rest in ((), ("MINAGE", 0), ("MINAGE", 5)):
        assert error_code(sg, r, "TOUCH", token, *rest) == "NOSESSION"
    token = start(r, KEY, 1)
    wait_for(lambda: error_code(sg, r, "TTL", token) == "NOSESSION", 5, "the session is over")
    assert error_code(sg, r, "TOUCH", token) == "NOSESSION"
    assert r.dbsize() == 0


def test_the_options_of_touch_are_known_in_any_case(r):
    token = start(r, KEY, 1000)
    was_refreshed(r, token, 1000, 50)
    assert sg(r, "TOUCH", token, "minage", 60) < 960
    assert sg(r, "TOUCH", token, "MinAge", "40") == 1000


# The deadline ------------------------------------------------------------------------------------

@pytest.fixture(params=["v1", "v2"])
def bounded(r, request):
    """A session that may live 500 s, with the time of its deadline."""
    token = sg(r, "START", 100, "MAXTTL", 500, "FORMAT", request.param)
    return token, info(r, token)["deadline"]


def test_expire_is_cut_to_the_deadline_and_answers_ok(r, bounded):
    token, deadline = bounded
    assert expire(r, token, 499) == b"OK"
    assert expiry(r, token) < deadline
    for ttl in (501, 10_000, LARGEST_TTL):
        assert expire(r, token, ttl) == b"OK"
        assert expiry(r, token) == deadline
        assert info(r, token)["idle"] == ttl * 1000
    assert expire(r, token, 10) == b"OK"
    assert 5_000 < r.pttl(token) <= 10_000
    assert expire(r, token, 0) == b"OK"
    assert r.exists(token) == 0


def test_touch_is_cut_to_the_deadline_and_answers_what_is_left(r, bounded):
    token, deadline = bounded
    expire(r, token, 10_000)
    for rest in ((), ("MINAGE", 0), ("MINAGE", 60)):
        r.pexpire(token, 50_000)
        assert 495 <= sg(r, "TOUCH", token, *rest) <= 500
        assert expiry(r, token) == deadline


def test_a_touch_that_the_deadline_holds_writes_nothing(server, r, bounded):
    token, deadline = bounded
    expire(r, token, 10_000)
    with Stream(server) as stream:
        for rest in ((), ("MINAGE", 0), ("MINAGE", 60)):
            assert sg(r, "TOUCH", token, *rest) <= 500
        assert stream.commands() == []
    assert expiry(r, token) == deadline


def test_a_touch_of_a_session_without_expiry_ends_it_at_the_deadline(r, bounded):
    token, deadline = bounded
    expire(r, token, 10_000)
    r.persist(token)
    assert sg(r, "TOUCH", token) <= 500
    assert expiry(r, token) == deadline


def test_a_session_ends_at_its_deadline_however_often_it_is_refreshed(r):
    token = sg(r, "START", 1, "MAXTTL", 1)
    deadline = info(r, token)["deadline"]
    codes = set()

    def over():
        codes.update({error_code(expire, r, token, 60), error_code(sg, r, "TOUCH", token),
                      error_code(sg, r, "TTL", token)})
        return "NOSESSION" in codes
    wait_for(over, 5, "the session is over")
    assert now(r) >= deadline
    assert codes <= {None, "NOSESSION"} and r.exists(token) == 0


# The times on disk and elsewhere -----------------------------------------------------------------

def times_of(r, token):
    """What the server knows of the session's time, without what passes."""
    return {**info(r, token), "ttl": expiry(r, token)}


def check_bounded(r, token, deadline):
    """No refresh takes the session past its deadline."""
    assert expire(r, token, LARGEST_TTL) == b"OK"
    assert expiry(r, token) == deadline
    r.pexpire(token, 1000)
    assert sg(r, "TOUCH", token) <= 500
    assert expiry(r, token) == deadline
    assert sg(r, "TOUCH", sg(r, "ROTATE", token, "TTL", LARGEST_TTL, "GRACE", 300)) <= 500
    assert sg(r, "TTL", token) <= 500


def fill(r):
    """{token: what is known of its time} of sessions of every kind."""
    tokens = [start(r, KEY, 1000), sg(r, "START", 100, "MAXTTL", 500), signed(), signed_v2(),
              sg(r, "ROTATE", sg(r, "START", 100, "MAXTTL", 500))]
    sg(r, "ADOPT", tokens[2], 100, "MAXTTL", 500, "PAYLOADS", 1, b"n", b"d")
    sg(r, "ADOPT", tokens[3], 1000, "MAXTTL", 500)
    expire(r, tokens[4], 300)
    return {token: times_of(r, token) for token in tokens}


def check(r, held):
    for token, times in held.items():
        assert times_of(r, token) == times
        if times["deadline"]:
            check_bounded(r, token, times["deadline"])


def test_times_outlive_debug_reload(r):
    held = fill(r)
    r.execute_command("DEBUG", "RELOAD")
    check(r, held)


def test_times_outlive_a_restart_from_an_rdb_file(make_server):
    server = make_server()
    held = fill(server.client())
    server.client().save()
    server.restart()
    check(server.client(), held)


@pytest.mark.parametrize("rewritten", [False, True], ids=["as written", "rewritten"])
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_times_outlive_a_restart_from_an_aof(make_server, preamble, rewritten):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    held = fill(server.client())
    if rewritten:
        server.client().bgrewriteaof()
        server.wait_saved()
    server.kill9()
    server.start()
    check(server.client(), held)


@pytest.mark.parametrize("late", [False, True], ids=["by effects", "by a full synchronization"])
def test_times_outlive_the_promotion_of_a_replica(make_server, replica_of, late):
    master = make_server()
    if late:
        held = fill(master.client())
    replica = replica_of(master)
    if not late:
        held = fill(master.client())
    replica.wait_synced()
    master.kill9()
    replica.client().replicaof("NO", "ONE")
    check(replica.client(), held)


MOVES = {
    "COPY": lambda r, old, new: r.copy(old, new),
    "RENAME": lambda r, old, new: r.rename(old, new),
    "DUMP": lambda r, old, new: r.restore(new, expiry(r, old), r.dump(old), absttl=True),
}


@pytest.mark.parametrize("move", MOVES)
def test_times_move_with_the_key(r, move):
    old, new = sg(r, "START", 100, "MAXTTL", 500, "PAYLOADS", 1, b"n", b"d"), signed()
    times = times_of(r, old)
    assert MOVES[move](r, old, new)
    assert times_of(r, new) == times
    check_bounded(r, new, times["deadline"])


def test_a_clock_of_the_tests_is_the_servers(r):
    """The tests compare times of both."""
    assert abs(now(r) - time.time() * 1000) < 1000
