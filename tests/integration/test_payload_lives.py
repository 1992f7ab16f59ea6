"""Payloads with a life of their own: PSET with EX and PX, PTTL, IFEQ, and how they go.

A payload that is `over` was set to end soon, and its end was waited for.
"""

import time

import pytest

from features import Observers, check_restarts, info, payloads, sg
from harness import (KEY, LARGEST_TTL, Stream, end, error_code, expire, pdel, pget, pset, start,
                     wait_for)

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}
SWEEP_MAX = 2048
ALSO_IN_A_TABLE = pytest.mark.parametrize("others", [0, 40], ids=["packed", "in a table"])


@pytest.fixture
def token(r):
    return start(r, KEY, 1000)


def pttl(client, token, name):
    return sg(client, "PTTL", token, name)


def is_there(client, token, name):
    return error_code(sg, client, "PTTL", token, name) is None


def fill(client, token, others):
    for n in range(others):
        pset(client, token, b"other %d" % n, b"d")


def let_end(client, token, *names, data=b"old", ms=50):
    """Payloads that are over, and still stored: set in one step, since each write removes the
    former ones that are over."""
    with client.pipeline(transaction=True) as transaction:
        for name in names:
            sg(transaction, "PSET", token, name, data, "PX", ms)
        transaction.execute()
    wait_over(client, token, names[-1])


def wait_over(client, token, *names):
    wait_for(lambda: not any(is_there(client, token, name) for name in names), 10,
             "the payloads are over")


def stored(client, token):
    """What is stored, that is over or not: the memory that the key takes."""
    return client.memory_usage(token)


# Lives -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("word, number, most", [
    ("EX", 100, 100_000), ("ex", 1, 1000), ("PX", 100_000, 100_000), ("pX", 50_000, 50_000),
    ("EX", LARGEST_TTL, 1000 * LARGEST_TTL), ("PX", 1000 * LARGEST_TTL, 1000 * LARGEST_TTL)])
def test_a_payload_lasts_as_long_as_it_was_given(r, token, word, number, most):
    assert sg(r, "PSET", token, b"n", b"d", word, number) == b"OK"
    left = pttl(r, token, b"n")
    assert most - 900 <= left <= most  # pytest may be that slow
    assert pget(r, token, b"n") == b"d"


def test_without_a_life_a_payload_lasts_as_long_as_the_session(r, token):
    pset(r, token, b"n", b"d")
    assert pttl(r, token, b"n") == -1


@pytest.mark.parametrize("again", [("PSET", b"n", b"d"), ("PMSET", b"n", b"d"),
                                   ("PSET", b"n", b"d", "XX"), ("PSET", b"n", b"d", "IFEQ", b"d")])
@ALSO_IN_A_TABLE
def test_setting_it_again_without_a_life_makes_it_last(r, token, again, others):
    fill(r, token, others)
    sg(r, "PSET", token, b"n", b"d", "PX", 50_000)
    command, *words = again
    assert sg(r, command, token, *words) == b"OK"
    assert pttl(r, token, b"n") == -1


def test_options_come_in_any_order_and_case(r, token):
    pset(r, token, b"n", b"d")
    for words in ((b"ifeq", b"d", b"Ex", 60), (b"PX", 60_000, b"IfEq", b"d"), (b"xx", b"EX", 60),
                  (b"EX", 60, b"XX")):
        assert sg(r, "PSET", token, b"n", b"d", *words) == b"OK"
    assert sg(r, "PSET", token, b"m", b"d", b"PX", 60_000, b"nx") == b"OK"
    assert all(50_000 < pttl(r, token, name) <= 60_000 for name in (b"n", b"m"))


def test_the_life_of_a_payload_goes_on_past_the_end_of_the_session(r, token):
    sg(r, "PSET", token, b"n", b"d", "EX", 5000)
    assert 1_000_000 < pttl(r, token, b"n") <= 5_000_000


def test_a_life_is_bounded_by_the_parameter_of_lives(r, token):
    r.config_set("sessiongate.max-ttl", 100)
    assert sg(r, "PSET", token, b"n", b"d", "EX", 100) == b"OK"
    assert sg(r, "PSET", token, b"n", b"d", "PX", 100_000) == b"OK"
    assert error_code(sg, r, "PSET", token, b"n", b"e", "EX", 101) == "ERR"
    assert error_code(sg, r, "PSET", token, b"n", b"e", "PX", 100_001) == "ERR"
    assert pget(r, token, b"n") == b"d"


# What is over ------------------------------------------------------------------------------------

@ALSO_IN_A_TABLE
def test_what_is_over_is_not_there_for_any_command(r, token, others):
    fill(r, token, others)
    pset(r, token, b"stays", b"d")
    let_end(r, token, b"n", b"m")
    for command in ("PGET", "PTTL", "PPOP", "PDEL"):
        assert error_code(sg, r, command, token, b"n") == "NOPAYLOAD", command
    assert sg(r, "PDEL", token, b"n", "IFEQ", b"old") is None
    assert sg(r, "PMGET", token, b"n", b"stays", b"m") == [None, b"d", None]
    assert set(payloads(r, token)) == {b"stays", *(b"other %d" % n for n in range(others))}
    about = info(r, token)
    assert about["payloads"] == 1 + others
    assert about["bytes"] == sum(len(name) + len(data) for name, data in payloads(r, token).items())
    assert sg(r, "PSET", token, b"n", b"d", "XX") is None
    assert sg(r, "PSET", token, b"n", b"d", "IFEQ", b"old") is None
    assert sg(r, "PSET", token, b"n", b"new", "NX") == b"OK"
    assert pget(r, token, b"n") == b"new" and pttl(r, token, b"n") == -1


def test_what_is_over_does_not_count_for_the_limit_on_payloads(r, token):
    r.config_set("sessiongate.max-payloads", 4)
    pset(r, token, b"stays", b"d")
    let_end(r, token, b"a", b"b", b"c")
    assert error_code(sg, r, "PMSET", token, *[b"new %d" % (n // 2) for n in range(8)]) == "ERR"
    assert sg(r, "PMSET", token, b"x", b"1", b"y", b"2", b"z", b"3") == b"OK"
    assert error_code(sg, r, "PSET", token, b"one more", b"d") == "ERR"
    assert set(payloads(r, token)) == {b"stays", b"x", b"y", b"z"}


@ALSO_IN_A_TABLE
def test_at_the_limit_on_payloads_a_name_that_is_over_can_be_set_again(r, token, others):
    """And no other, where that does not make room."""
    fill(r, token, others)
    r.config_set("sessiongate.max-payloads", others + 2)
    pset(r, token, b"stays", b"d")
    let_end(r, token, b"n")
    assert sg(r, "PSET", token, b"n", b"d", "NX", "PX", 1) == b"OK"
    wait_over(r, token, b"n")
    assert error_code(sg, r, "PMSET", token, b"n", b"d", b"one more", b"d") == "ERR"
    assert sg(r, "PMSET", token, b"n", b"1", b"stays", b"2") == b"OK"
    assert pget(r, token, b"n") == b"1" and pttl(r, token, b"n") == -1
    assert error_code(sg, r, "PSET", token, b"one more", b"d", "EX", 9) == "ERR"
    assert error_code(sg, r, "PMSET", token, b"n", b"d", b"one more", b"d") == "ERR"
    assert info(r, token)["payloads"] == others + 2


def test_what_a_lowered_limit_left_too_many_goes_and_none_comes(r, token):
    fill(r, token, 20)
    let_end(r, token, *(b"n%d" % n for n in range(20)))
    r.config_set("sessiongate.max-payloads", 10)
    assert error_code(sg, r, "PSET", token, b"n1", b"d") == "ERR"
    assert sg(r, "PSET", token, b"other 1", b"d", "IFEQ", b"d") == b"OK"
    assert info(r, token)["payloads"] == 20
    assert error_code(sg, r, "PSET", token, b"n1", b"d") == "ERR"


@pytest.mark.parametrize("command", ["PSET", "PDEL", "EXPIRE", "TOUCH", "ROTATE"])
def test_who_hears_of_a_write_hears_of_it_once_when_it_removes_too(server, r, command):
    token = sg(r, "START", 1000)
    pset(r, token, b"stays", b"d")
    let_end(r, token, b"over")
    r.pexpire(token, 5000)
    with Observers(server, token) as observers:
        sg(r, command, token, *WRITES[command])
        assert observers.noticed() == Observers.EVERYBODY
        assert observers.noticed() == set()


def test_a_full_server_still_removes_what_is_over(make_server, replica_of):
    master = make_server(maxmemory_policy="noeviction")
    replica = replica_of(master, replica_ignore_maxmemory="no", maxmemory=1,
                         maxmemory_policy="noeviction")
    r = master.client()
    token = start(r, KEY, 1000)
    fill(r, token, 40)
    pset(r, token, b"stays", b"d")
    let_end(r, token, b"n", b"m")
    r.config_set("maxmemory", 1)
    before = stored(r, token)
    assert error_code(sg, r, "PSET", token, b"new", b"d", "EX", 60) == "OOM"
    assert stored(r, token) == before
    assert sg(r, "PDEL", token, b"stays", "IFEQ", b"other") is None
    assert sg(r, "PDEL", token, b"stays", "IFEQ", b"d") == b"OK"
    assert stored(r, token) < before - 2 * len(b"old")
    replica.wait_synced()
    assert replica.sessions() == master.sessions()


@pytest.mark.parametrize("read", [("PGET", b"n"), ("PMGET", b"n"), ("PGETALL",), ("PTTL", b"n"),
                                  ("TTL",), ("INFO",)])
def test_reads_remove_nothing_and_nobody_hears_of_an_end(server, r, token, read):
    let_end(r, token, b"n")
    before = server.sessions()
    with Observers(server, token) as observers:
        error_code(sg, r, read[0], token, *read[1:])
        assert observers.noticed() == set()
    assert server.sessions() == before


@pytest.mark.parametrize("refused", [
    ("PSET", b"n", b"d", "XX"), ("PSET", b"n", b"d", "IFEQ", b"old"), ("PDEL", b"n"),
    ("PDEL", b"n", "IFEQ", b"old"), ("PPOP", b"n"), ("EXPIRE", -1), ("TOUCH", "MINAGE", 60)],
    ids=lambda words: " ".join(map(str, words)))
def test_what_changes_nothing_removes_nothing(server, r, token, refused):
    let_end(r, token, b"n")
    before = server.sessions()
    error_code(sg, r, refused[0], token, *refused[1:])
    assert server.sessions() == before


WRITES = {"PSET": (b"m", b"d"), "PMSET": (b"m", b"d"), "PDEL": (b"stays",), "PPOP": (b"stays",),
          "EXPIRE": (500,), "TOUCH": (), "ROTATE": ()}


@pytest.mark.parametrize("command", WRITES)
@ALSO_IN_A_TABLE
def test_the_next_write_removes_what_is_over_and_says_so_in_its_own_effect(
        server, r, command, others):
    token, like = (sg(r, "START", 1000) for _ in range(2))
    for each in (token, like):
        fill(r, each, others)
        pset(r, each, b"stays", b"d")
    let_end(r, token, b"a", b"b")
    r.pexpire(token, 5000)
    with Stream(server) as stream:
        answer = sg(r, command, token, *WRITES[command])
        [sent] = stream.commands()
    assert sent[:2] == [b"SGSW", token] and sent[3] == b"2"
    assert sent[4:6] == [{
        "PSET": b"SGPS", "PMSET": b"SGPS", "PDEL": b"SGPD", "PPOP": b"SGPD", "EXPIRE": b"SGEX",
        "TOUCH": b"SGTO", "ROTATE": b"SGRO"}[command], token]
    assert abs(int(sent[2]) - time.time() * 1000) < 60_000
    sg(r, command, like, *WRITES[command])
    if command == "ROTATE":
        token = answer
        like = next(key for key in r.scan_iter() if key != token)
    assert stored(r, token) == stored(r, like), "nothing of what is over is left"


def test_a_call_through_an_alias_and_one_of_an_owner_remove_too(server, r):
    old = sg(r, "OSTART", b"owner", 1000)
    token = sg(r, "ROTATE", old, "GRACE", 100)
    for command, words, effect in (("PSET", (b"m", b"d"), b"SGPV"),
                                   ("PSET", (b"m", b"d", "EX", 60), b"SGPX"),
                                   ("PDEL", (b"m",), b"SGPD"), ("EXPIRE", (700,), b"SGOX"),
                                   ("ROTATE", (), b"SGOR")):
        let_end(r, token, b"over")
        with Stream(server) as stream:
            sg(r, command, old, *words)
            [sent] = stream.commands()
        assert sent[:2] == [b"SGSW", token] and sent[3] == b"1"
        assert sent[4:6] == [effect, token]


def test_a_call_removes_no_more_than_it_may_and_as_many_as_it_adds(r, token):
    names = [b"n%d" % n for n in range(3 * SWEEP_MAX)]
    let_end(r, token, *names, ms=1500)
    sizes = [stored(r, token)]

    def shrank_after(command, *words):
        sg(r, command, token, *words)
        sizes.append(stored(r, token))
        return sizes[-2] - sizes[-1]
    of_some = shrank_after("TOUCH")
    assert of_some > 40 * SWEEP_MAX
    added = [part for n in range(SWEEP_MAX + 500) for part in (b"new %d" % n, b"d")]
    sg(r, "PMSET", token, *added)
    assert info(r, token)["payloads"] == SWEEP_MAX + 500
    left = 3 * SWEEP_MAX - SWEEP_MAX - (SWEEP_MAX + 500)
    sizes.append(stored(r, token))
    of_rest = shrank_after("EXPIRE", 1000)
    assert 0.5 < of_rest / (of_some * left / SWEEP_MAX) < 1.5
    assert shrank_after("EXPIRE", 1000) == 0


def test_a_session_at_its_limit_can_always_be_dumped_and_restored(r, token):
    r.config_set("sessiongate.max-payloads", 3000)
    for round in range(4):
        added = [part for n in range(3000) for part in (b"%d of %d" % (n, round), b"d")]
        sg(r, "PMSET", token, *added)
        assert info(r, token)["payloads"] == 3000
        dump = r.dump(token)
        r.delete(token)
        r.restore(token, 100_000, dump)
        let_end(r, token, *added[::2], ms=1000)
    sg(r, "TOUCH", token)


def test_what_ends_does_not_end_within_a_script_or_a_transaction(server, r, token):
    if server.version < (7, 2):
        pytest.skip(f"{server.name}: a module can ask for the clock of scripts since Redis 7.2")
    script = """
        redis.call('SESSIONGATE.PSET', ARGV[1], KEYS[1], 'n', 'd', 'PX', 1)
        local began = redis.call('TIME')
        for i = 1, 200000 do redis.sha1hex('a while') end
        return redis.call('SESSIONGATE.PGET', ARGV[1], KEYS[1], 'n')"""
    assert r.eval(script, 1, token, KEY) == b"d"
    wait_over(r, token, b"n")
    with r.pipeline(transaction=True) as transaction:
        sg(transaction, "PSET", token, b"n", b"d", "PX", 1)
        transaction.execute_command("DEBUG", "SLEEP", 0.05)
        sg(transaction, "PGET", token, b"n")
        assert transaction.execute()[2] == b"d"


# IFEQ --------------------------------------------------------------------------------------------

BYTES = [b"d", b"\0", b"\r\n$-1", bytes(range(256)), b"x" * 1_000_003]


@pytest.mark.parametrize("data", BYTES, ids=len)
@ALSO_IN_A_TABLE
def test_ifeq_holds_for_exactly_these_bytes(r, token, data, others):
    fill(r, token, others)
    wrong = [data + b"\0", b"\0" + data, bytes([data[0] ^ 1]) + data[1:],
             data[:-1] + bytes([data[-1] ^ 128]), b"another"]
    if len(data) > 9:
        wrong += [data[:-1], data[:9] + bytes([data[9] ^ 16]) + data[10:]]
    pset(r, token, b"n", data)
    for other in wrong:
        assert sg(r, "PSET", token, b"n", b"new", "IFEQ", other) is None
        assert sg(r, "PDEL", token, b"n", "IFEQ", other) is None
    assert pget(r, token, b"n") == data
    assert sg(r, "PSET", token, b"n", data, "IFEQ", data) == b"OK"
    assert sg(r, "PDEL", token, b"n", "IFEQ", data) == b"OK"
    assert sg(r, "PDEL", token, b"n", "IFEQ", data) is None
    assert sg(r, "PSET", token, b"n", data, "IFEQ", data) is None


def test_of_many_who_compare_and_set_one_wins(server, r, token):
    pset(r, token, b"n", b"0")
    wires = [server.wire() for _ in range(8)]
    for round in range(50):
        for number, wire in enumerate(wires):
            wire.send("SESSIONGATE.PSET", KEY, token, b"n", b"%d by %d" % (round + 1, number),
                      "IFEQ", pget(r, token, b"n") if number == 0 else seen)
            if number == 0:
                seen = b"0" if round == 0 else won
        answers = [wire.read() for wire in wires]
        assert answers.count("OK") == 1 and answers.count(None) == 7
        won = pget(r, token, b"n")
        assert won == b"%d by %d" % (round + 1, answers.index("OK"))
    for wire in wires:
        wire.close()


def test_a_lock_is_held_by_one_and_let_go_by_its_holder_alone(r, token):
    def lock(me, ms=5000):
        return sg(r, "PSET", token, b"lock", me, "NX", "PX", ms)

    def unlock(me):
        return sg(r, "PDEL", token, b"lock", "IFEQ", me)
    assert lock(b"first") == b"OK" and lock(b"second") is None
    assert unlock(b"second") is None and unlock(b"first") == b"OK"
    assert lock(b"dead", 1) == b"OK"
    wait_for(lambda: lock(b"second") == b"OK", 10, "the dead holder's lock ended by itself")
    assert unlock(b"dead") is None and unlock(b"second") == b"OK"


# What follows a server ---------------------------------------------------------------------------

def write_lives(r):
    """Sessions of all kinds with payloads that end, some of them over; to be called again and
    again."""
    tokens = [start(r, KEY, 1000), sg(r, "OSTART", b"owner", 1000, "PAYLOADS", 1, b"p", b"d")]
    for token in list(tokens):
        for n in range(40):
            sg(r, "PSET", token, b"n%d" % n, b"d%d" % n, *((), ("EX", 50 + n), ("PX", 1))[n % 3])
        let_end(r, token, *(b"m%d" % n for n in range(20)))
        sg(r, "PSET", token, b"new", b"d", "EX", 60)
        let_end(r, token, b"over 1", b"over 2")
        tokens.append(r.copy(token, token[:-1] + bytes([token[-1] ^ 1])))
    small = start(r, KEY, 1000)
    sg(r, "PSET", small, b"n", b"d", "EX", 60)
    let_end(r, small, b"over")
    sg(r, "PSET", sg(r, "ROTATE", small, "GRACE", 100), b"m", b"x" * 100_000, "EX", 99)
    sg(r, "PSET", small, b"through an alias", b"d", "EX", 99)


def test_the_effect_of_a_life_has_its_end(r, token, stream):
    stream.commands()
    sg(r, "PSET", token, b"n", b"d", "EX", 60)
    left = pttl(r, token, b"n")
    [[name, key, ends_at, *payload]] = stream.commands()
    assert (name, key, payload) == (b"SGPX", token, [b"n", b"d"])
    assert abs(int(ends_at) - (time.time() * 1000 + left)) < 1000


def test_a_replica_holds_what_its_master_holds_over_or_not(make_server, replica_of):
    master = make_server()
    replica = replica_of(master, **AOF)
    write_lives(master.client())
    held = master.sessions()
    replica.wait_synced()
    assert replica.sessions() == held
    assert replica_of(master).sessions() == held
    replica.wait_saved()
    replica.kill9()
    master.stop()
    del replica.config["replicaof"]
    replica.start()
    assert replica.sessions() == held, "the replica's own AOF"


def test_of_those_that_end_at_once_master_and_replica_remove_the_same(make_server, replica_of):
    """More than one call may remove; the replica's table came another way than its master's."""
    master = make_server()
    r = master.client()
    token = start(r, KEY, 1000)
    names = [b"%d\0%d" % (n % 7, n) for n in range(3 * SWEEP_MAX)]
    let_end(r, token, *names, ms=300)
    replicas = [replica_of(master)]
    replicas.append(replica_of(replicas[0]))
    for call in (("TOUCH",), ("PSET", b"n", b"d"), ("PSET", b"n", b"d", "PX", 1), ("PDEL", b"n")):
        error_code(sg, r, call[0], token, *call[1:])
        for replica in replicas:
            replica.wait_synced()
            assert replica.sessions() == master.sessions()
    assert payloads(r, token).keys() <= {b"n"}


def test_what_a_writable_replica_was_given_is_left_to_it_while_it_lives(make_server, replica_of):
    master = make_server()
    replica = replica_of(master, replica_read_only="no")
    r, theirs = master.client(), replica.client()
    token = start(r, KEY, 1000)
    let_end(r, token, b"over 1", b"over 2")
    replica.wait_synced()
    sg(theirs, "PSET", token, b"theirs", b"d", "EX", 500)  # and what is over goes there first
    sg(theirs, "PSET", token, b"theirs, soon over", b"d", "PX", 1)
    wait_over(theirs, token, b"theirs, soon over")
    pset(r, token, b"n", b"d")
    replica.wait_synced()
    assert payloads(theirs, token) == {b"theirs": b"d", b"n": b"d"}


def test_a_replica_answers_by_its_own_clock_and_removes_nothing(make_server, replica_of):
    master = make_server()
    replica = replica_of(master)
    r, theirs = master.client(), replica.client()
    token = start(r, KEY, 1000)
    sg(r, "PSET", token, b"n", b"d", "EX", 600)
    replica.wait_synced()
    assert pget(theirs, token, b"n") == b"d" and 0 < pttl(theirs, token, b"n") <= 600_000
    let_end(r, token, b"n")
    replica.wait_synced()
    wait_over(theirs, token, b"n")
    assert payloads(theirs, token) == {} and info(theirs, token)["payloads"] == 0
    assert replica.sessions() == master.sessions()


def test_clients_of_a_replica_hear_of_writes_by_the_alias_that_they_read_through(
        make_server, replica_of):
    """Whether these removed what was over before, or not."""
    master = make_server()
    replica = replica_of(master)
    r = master.client()
    old = start(r, KEY, 1000)
    token = sg(r, "ROTATE", old, "GRACE", 300)
    with replica.wire(3) as cache:
        cache.socket.settimeout(10)
        cache.call("CLIENT", "TRACKING", "ON")
        for over in (False, True):
            for command, *words in (("PSET", b"n", b"d", "EX", 60), ("PSET", b"n", b"d"),
                                    ("PDEL", b"n"), ("EXPIRE", 500), ("TOUCH",)):
                if over:
                    let_end(r, token, b"over")
                if command == "TOUCH":
                    r.pexpire(token, 5000)
                replica.wait_synced()
                assert cache.call("SESSIONGATE.TTL", KEY, old) > 0
                sg(r, command, old, *words)
                assert cache.read() == [b"invalidate", [old]], (command, over)


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_restarted_server_holds_what_it_held_over_or_not(make_server, preamble):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    check_restarts(server, lambda client, round: write_lives(client))


def test_dump_copy_reload_and_rotation_carry_lives(server, r):
    token = start(r, KEY, 1000)
    for n in range(40):
        sg(r, "PSET", token, b"n%d" % n, b"d", *(("EX", 500 + n) if n % 3 else ()))
    let_end(r, token, b"over 1", b"over 2")
    expected, [held] = payloads(r, token), set(server.sessions().values())
    r.restore(b"restored", 1_000_000, r.dump(token))
    r.copy(token, b"copied")
    server.client().execute_command("DEBUG", "RELOAD")
    assert {digest for digest, _ in server.sessions().values()} == {held[0]}
    token = sg(r, "ROTATE", token)
    assert payloads(r, token) == expected
    for n in range(40):
        if n % 3:
            assert 400_000 < pttl(r, token, b"n%d" % n) <= (500 + n) * 1000
    end(r, token)


def test_the_digest_tells_lives_apart(server, r):
    digests = set()
    for words in ((), ("EX", 1000), ("EX", 2000)):
        token = start(r, KEY, 1000)
        for created in range(2):
            sg(r, "PSET", token, b"n", b"d", *words)
        digests.add(r.execute_command("DEBUG", "DIGEST-VALUE", token)[0])
    assert len(digests) == 3


def test_a_payload_without_a_life_takes_no_more_and_one_with_it_seven_bytes(r):
    def size(*words):
        token = sg(r, "START", 1000, "FORMAT", "v1", "PAYLOADS", 1, b"n", b"d" * 1000)
        sg(r, "PSET", token, b"n", b"d" * 1000, *words)
        return len(r.dump(token))
    assert size("EX", 60) - size() == 7


def test_a_payload_that_ends_is_set_deleted_and_taken_like_any_other(r, token):
    sg(r, "PSET", token, b"n", b"d", "EX", 60)
    assert pdel(r, token, b"n") == b"OK"
    sg(r, "PSET", token, b"n", b"d", "EX", 60)
    assert sg(r, "PPOP", token, b"n") == b"d"
    assert not is_there(r, token, b"n")
    sg(r, "PSET", token, b"n", b"d", "EX", 60)
    expire(r, token, 0)
    assert error_code(sg, r, "PTTL", token, b"n") == "NOSESSION"
