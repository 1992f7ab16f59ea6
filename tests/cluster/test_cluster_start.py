"""START where it can make no session, and where a server might put one into a wrong slot."""

import contextlib

import pytest

from cluster import ask, info, misplaced, node_id, slot_of, slots_of
from harness import KEY, LARGEST_SIGN_KEY, Wire, wait_for

START = ("SESSIONGATE.START", KEY, 60)


def error_of(node, *command):
    answer = ask(node, *command)
    return answer.code if isinstance(answer, Wire.Error) else None


# No slot, no cluster, no master -------------------------------------------------------------------

def test_a_node_without_slots_answers_noslot(lopsided):
    node = lopsided.nodes[2]
    for _ in range(3):
        assert error_of(node, *START) == "NOSLOT"
    assert ask(node, "DBSIZE") == 0


def test_a_node_without_slots_hashes_a_sign_key_once_a_call(lopsided):
    """It draws until its time is over; the longest sign key may not make that longer: the server's own
    CPU time for both is compared, as one hash of the key in each draw took seven times that."""
    node = lopsided.nodes[2]

    def cpu_of(sign_key):
        before = float(info(node, "cpu")["used_cpu_user"])
        for _ in range(5):
            assert error_of(node, "SESSIONGATE.START", sign_key, 60) == "NOSLOT"
        return float(info(node, "cpu")["used_cpu_user"]) - before
    assert cpu_of(b"k" * LARGEST_SIGN_KEY) < 3 * cpu_of(b"k")


def test_a_node_with_one_slot_starts_sessions_there_or_answers_noslot(lopsided):
    node = lopsided.nodes[1]
    tokens, others = [], set()

    def three_tokens():
        answer = ask(node, *START)
        tokens.append(answer) if isinstance(answer, bytes) else others.add(answer.code)
        return len(tokens) == 3
    wait_for(three_tokens, 60, "three sessions started")
    assert {slot_of(token) for token in tokens} == slots_of(node) == {64}
    assert others <= {"NOSLOT"}
    assert ask(node, "CLUSTER", "COUNTKEYSINSLOT", 64) == ask(node, "DBSIZE") == 3


def assert_in_slots(answers, slots):
    """START answered tokens of these slots, and nothing else but NOSLOT now and then: with few
    slots a busy machine may run out of time before one is found."""
    tokens = [answer for answer in answers if isinstance(answer, bytes)]
    assert len(tokens) > len(answers) / 2
    assert {slot_of(token) for token in tokens} <= set(slots)
    assert {answer.code for answer in answers if isinstance(answer, Wire.Error)} <= {"NOSLOT"}


@contextlib.contextmanager
def configured(node, name, value):
    _, before = ask(node, "CONFIG", "GET", name)
    assert ask(node, "CONFIG", "SET", name, value) == "OK"
    try:
        yield
    finally:
        ask(node, "CONFIG", "SET", name, before)


@contextlib.contextmanager
def without_slots(node, first, last):
    """The node does not know who serves these slots of its own."""
    assert ask(node, "CLUSTER", "DELSLOTSRANGE", first, last) == "OK"
    try:
        yield
    finally:
        assert ask(node, "CLUSTER", "ADDSLOTSRANGE", first, last) == "OK"


def wait_state(node, state):
    wait_for(lambda: info(node, "cluster")["cluster_state"] == state, 30,
             f"{node} in state {state}")


def test_start_answers_clusterdown_while_the_cluster_is_down(lopsided):
    node = lopsided.nodes[0]
    token = ask(node, *START)
    with without_slots(node, *[min(slots_of(node) - {slot_of(token)})] * 2):
        wait_state(node, "fail")
        assert error_of(node, *START) == "CLUSTERDOWN"
        assert error_of(node, "SESSIONGATE.PGET", KEY, token, b"n") == "CLUSTERDOWN"
        assert ask(node, "DBSIZE") == 1
    wait_state(node, "ok")
    assert isinstance(ask(node, *START), bytes)


def test_a_cluster_that_is_down_but_allows_reads_starts_no_session(lopsided):
    node = lopsided.nodes[0]
    token = ask(node, *START)
    assert ask(node, "SESSIONGATE.PSET", KEY, token, b"n", b"d") == "OK"
    with configured(node, "cluster-allow-reads-when-down", "yes"), \
            without_slots(node, *[min(slots_of(node) - {slot_of(token)})] * 2):
        wait_state(node, "fail")
        assert ask(node, "SESSIONGATE.PGET", KEY, token, b"n") == b"d"
        assert error_of(node, *START) == "CLUSTERDOWN"
        assert error_of(node, "SESSIONGATE.END", KEY, token) == "CLUSTERDOWN"
        assert ask(node, "DBSIZE") == 1
    wait_state(node, "ok")


def test_start_goes_on_where_full_coverage_is_not_required_and_avoids_slots_of_nobody(lopsided):
    node = lopsided.nodes[0]
    with configured(node, "cluster-require-full-coverage", "no"), without_slots(node, 0, 31):
        wait_state(node, "ok")
        with node.wire() as wire:
            answers = wire.pipeline([START] * 100)
        assert_in_slots(answers, range(32, 64))


@pytest.mark.slow
def test_a_master_without_the_majority_answers_clusterdown(make_cluster):
    cluster = make_cluster(masters=3, replicas=0, timeout_ms=1000)
    node, *others = cluster.masters()
    for other in others:
        other.pause()
    wait_state(node, "fail")
    assert error_of(node, *START) == "CLUSTERDOWN"
    for other in others:
        other.resume()
    wait_state(node, "ok")
    assert isinstance(ask(node, *START), bytes)


def test_a_replica_answers_readonly_as_to_any_write(cluster):
    for master in cluster.masters():
        replica = cluster.replica(master)
        assert error_of(replica, *START) == "READONLY"
        with replica.wire() as wire:
            assert wire.call("READONLY") == "OK"
            assert wire.call(*START).code == "READONLY"


def test_a_replica_that_takes_writes_starts_no_session(cluster):
    replica = cluster.replica(cluster.masters()[0])
    with configured(replica, "replica-read-only", "no"):
        assert error_of(replica, *START) == "NOSLOT"
        assert ask(replica, "DBSIZE") == 0


# Transactions and scripts -------------------------------------------------------------------------

KEYED = b"a key of the transaction"


@pytest.fixture
def at_owner(cluster):
    """A wire to the master of the slot of KEYED. After the test no key of any node is misplaced."""
    owner = cluster.owner(KEYED)
    with owner.wire() as wire:
        yield wire
    cluster.wait_whole()
    for master in cluster.masters():
        assert misplaced(master) == []
        assert misplaced(cluster.replica(master)) == []


def exec_after(wire, *commands):
    assert wire.call("MULTI") == "OK"
    for command in commands:
        assert wire.call(*command) == "QUEUED"
    return wire.call("EXEC")


def test_start_inside_multi_is_refused_and_the_rest_is_carried_out(at_owner):
    first, started, last = exec_after(at_owner, ("SET", KEYED, 1), START, ("INCR", KEYED))
    assert (first, started.code, last) == ("OK", "ERR", 2)
    assert at_owner.call("GET", KEYED) == b"2"
    assert at_owner.call("DBSIZE") == 1


def test_start_alone_inside_multi_is_refused(at_owner):
    [started] = exec_after(at_owner, START)
    assert started.code == "ERR"
    assert at_owner.call("DBSIZE") == 0


def test_a_session_may_be_used_inside_multi(at_owner):
    token = at_owner.call(*START)
    assert exec_after(at_owner, ("SESSIONGATE.PSET", KEY, token, b"n", b"d"),
                      ("SESSIONGATE.PGET", KEY, token, b"n"),
                      ("SESSIONGATE.EXPIRE", KEY, token, 30)) == ["OK", b"d", "OK"]


ALONE = "return redis.call('SESSIONGATE.START', ARGV[1], 60)"
BEFORE_A_KEY = """local token = redis.call('SESSIONGATE.START', ARGV[1], 60)
redis.call('SET', KEYS[1], token) return token"""
AFTER_A_KEY = "redis.call('INCR', KEYS[1]) return redis.call('SESSIONGATE.START', ARGV[1], 60)"
TWICE = """redis.call('SESSIONGATE.START', ARGV[1], 60) redis.call('INCR', KEYS[1])
return redis.call('SESSIONGATE.START', ARGV[1], 60)"""
ACROSS_SLOTS = """#!lua flags=allow-cross-slot-keys
redis.call('INCR', KEYS[1])
local token = redis.call('SESSIONGATE.START', ARGV[1], 60)
redis.call('SESSIONGATE.PSET', ARGV[1], token, 'n', 'd')
redis.call('INCR', KEYS[1])
return token"""
USED = """local token = redis.call('SESSIONGATE.START', ARGV[1], 60)
redis.call('SESSIONGATE.PSET', ARGV[1], token, 'n', 'd') return token"""
SCRIPTS = {"alone": (ALONE, 0), "beside a key": (ALONE, 1), "before a key": (BEFORE_A_KEY, 1),
           "after a key": (AFTER_A_KEY, 1), "twice": (TWICE, 1), "across slots": (ACROSS_SLOTS, 1),
           "and used": (USED, 0)}


def assert_sound(cluster, wire, token):
    """The session is where a client finds it, on the master and on its replica."""
    assert wire.call("CLUSTER", "COUNTKEYSINSLOT", slot_of(token)) == 1
    assert wire.call("SESSIONGATE.PSET", KEY, token, b"n", b"d") == "OK"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"
    assert wire.call("WAIT", 1, 10_000) == 1
    with cluster.replica(cluster.owner(token)).wire() as replica:
        replica.call("READONLY")
        assert replica.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_session_started_in_a_script_is_in_its_place(cluster, at_owner, name):
    script, keys = SCRIPTS[name]
    token = at_owner.call("EVAL", script, keys, *[KEYED] * keys, KEY)
    assert_sound(cluster, at_owner, token)


@pytest.mark.parametrize("keys", [0, 1])
def test_a_session_started_in_a_function_is_in_its_place(cluster, at_owner, keys):
    before = "redis.call('INCR', keys[1]) " if keys else ""
    at_owner.call("FUNCTION", "LOAD", "REPLACE", f"""#!lua name=sessions
redis.register_function('begin', function(keys, argv)
    {before}return redis.call('SESSIONGATE.START', argv[1], 60)
end)""")
    token = at_owner.call("FCALL", "begin", keys, *[KEYED] * keys, KEY)
    assert_sound(cluster, at_owner, token)
    assert at_owner.call("FUNCTION", "FLUSH") == "OK"


@pytest.mark.parametrize("name", ["alone", "beside a key", "after a key"])
def test_a_script_that_starts_a_session_inside_multi_misplaces_none(cluster, at_owner, name):
    script, keys = SCRIPTS[name]
    _, answer, _ = exec_after(at_owner, ("INCR", KEYED),
                              ("EVAL", script, keys, *[KEYED] * keys, KEY), ("INCR", KEYED))
    if isinstance(answer, bytes):
        assert_sound(cluster, at_owner, answer)
    else:
        assert answer.code == "ERR"
        assert at_owner.call("DBSIZE") == 1


def test_a_script_on_a_node_without_slots_is_answered_noslot(lopsided):
    assert error_of(lopsided.nodes[2], "EVAL", ALONE, 0, KEY) == "NOSLOT"


def test_a_script_that_starts_a_session_is_refused_while_the_cluster_is_down(lopsided):
    node = lopsided.nodes[0]
    with without_slots(node, 0, 0):
        wait_state(node, "fail")
        assert error_of(node, "EVAL", ALONE, 0, KEY) == "CLUSTERDOWN"
        assert ask(node, "DBSIZE") == 0
    wait_state(node, "ok")


# Slots on their way -------------------------------------------------------------------------------

def set_slots(node, slots, *state):
    with node.wire() as wire:
        answers = wire.pipeline(("CLUSTER", "SETSLOT", slot, *state) for slot in slots)
    assert set(answers) == {"OK"}


@pytest.fixture
def leaving(lopsided):
    """Set slots of the first node on their way to the last. They stay where they are in the end."""
    source, target = lopsided.nodes[0], lopsided.nodes[3]
    moved = []

    def leave(slots):
        set_slots(target, slots, "IMPORTING", node_id(source))
        set_slots(source, slots, "MIGRATING", node_id(target))
        moved.extend(slots)
        return source, target
    yield leave
    set_slots(source, moved, "STABLE")
    set_slots(target, moved, "STABLE")


def test_start_never_takes_a_slot_that_is_moving_away(leaving):
    source, _ = leaving(range(32))
    with source.wire() as wire:
        answers = wire.pipeline([START] * 200)
    assert_in_slots(answers, range(32, 64))


def test_start_never_takes_a_slot_that_is_still_arriving(leaving):
    _, target = leaving(range(64))
    with target.wire() as wire:
        tokens = wire.pipeline([START] * 4000)  # 64 slots of 16384: 16 of these tokens, by chance
    assert not {slot_of(token) for token in tokens} & set(range(64))


def test_start_never_takes_a_slot_that_is_still_arriving_after_asking(leaving):
    """ASKING is for the next command, and what that calls itself inherits it."""
    _, target = leaving(range(64))
    with target.wire() as wire:
        by_itself = wire.pipeline([("ASKING",), START] * 4000)[1::2]
        in_scripts = wire.pipeline([
            ("ASKING",), ("EVAL", "return redis.call(unpack(ARGV))", 0, *START)] * 4000)[1::2]
    tokens = by_itself + in_scripts
    assert {type(token) for token in tokens} == {bytes}
    assert not {slot_of(token) for token in tokens} & set(range(64))


def test_a_node_whose_slots_all_move_away_answers_noslot(leaving):
    source, _ = leaving(range(64))
    assert error_of(source, *START) == "NOSLOT"
    assert ask(source, "DBSIZE") == 0
