"""Real cluster clients: where START makes sessions, and how the other commands find them."""

import random
import subprocess

import pytest

from cluster import ask, misplaced, slot_of, slots_of
from harness import KEY, wait_for
from load import RedisPy

START = ("SESSIONGATE.START", KEY, 60)


def test_start_on_any_master_answers_a_token_of_a_slot_that_it_serves(cluster):
    for master in cluster.masters():
        slots = slots_of(master)
        with master.wire() as wire:
            tokens = wire.pipeline([START] * 500)
        assert all(slot_of(token) in slots for token in tokens)
        assert misplaced(master) == []


def test_tokens_spread_evenly_over_the_slots_of_a_node(cluster):
    master = cluster.masters()[0]
    count = dict.fromkeys(slots_of(master), 0)
    with master.wire() as wire:
        for token in wire.pipeline([START] * 40_000):
            count[slot_of(token)] += 1
    expected = 40_000 / len(count)
    chi_square = sum((each - expected) ** 2 / expected for each in count.values())
    # One degree of freedom a slot, some 5460, so the mean is 5460 and the deviation 104.
    assert chi_square < len(count) + 8 * (2 * len(count)) ** 0.5


def test_redis_py_routes_each_command_by_the_token(cluster):
    client = RedisPy(cluster.ports(), seed=1)
    used = set()
    while len(used) < 3:  # START goes to a random master; go on until each was used
        token = client.read(None, *START)
        used.add(cluster.owner(token))
        assert client.client.determine_slot("SESSIONGATE.PGET", KEY, token, b"n") == slot_of(token)
        assert client.read(token, "SESSIONGATE.PSET", KEY, token, b"n", b"d") == "OK"
        assert client.read(token, "SESSIONGATE.PGET", KEY, token, b"n") == b"d"
        assert client.read(token, "SESSIONGATE.EXPIRE", KEY, token, 30) == "OK"
        assert client.read(token, "SESSIONGATE.PDEL", KEY, token, b"n") == "OK"
        assert client.read(token, "SESSIONGATE.END", KEY, token) == "OK"
        assert client.read(token, "SESSIONGATE.PGET", KEY, token, b"n").code == "NOSESSION"
    client.close()


def test_redis_cli_routes_each_command_by_the_token_from_any_node(cluster):
    def cli(node, *arguments):
        return subprocess.run([node.program / "cli", "-c", "-p", str(node.port), *arguments],
                              check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE).stdout.rstrip(b"\n")
    for node in cluster.nodes:
        token = cli(cluster.masters()[0], "SESSIONGATE.START", KEY, "60")
        assert cli(node, "SESSIONGATE.PSET", KEY, token, "n", "d") == b"OK"
        assert cli(node, "SESSIONGATE.PGET", KEY, token, "n") == b"d"
        assert cli(node, "SESSIONGATE.EXPIRE", KEY, token, "30") == b"OK"
        assert cli(node, "SESSIONGATE.PDEL", KEY, token, "n") == b"OK"
        assert cli(node, "SESSIONGATE.END", KEY, token) == b"OK"


def calls_on(token):
    """Each command but START, on that token."""
    return [("SESSIONGATE.PGET", KEY, token, b"n"),
            ("SESSIONGATE.PSET", KEY, token, b"n", b"other"),
            ("SESSIONGATE.EXPIRE", KEY, token, 5), ("SESSIONGATE.PDEL", KEY, token, b"n"),
            ("SESSIONGATE.END", KEY, token)]


def test_another_master_answers_moved_with_the_right_node_and_changes_nothing(cluster):
    owner, *others = cluster.masters()
    token = ask(owner, *START)
    ask(owner, "SESSIONGATE.PSET", KEY, token, b"n", b"d")
    over_at = ask(owner, "PEXPIRETIME", token)
    for other in others:
        for call in calls_on(token):
            assert ask(other, *call) == f"MOVED {slot_of(token)} 127.0.0.1:{owner.port}"
    assert ask(owner, "SESSIONGATE.PGET", KEY, token, b"n") == b"d"
    assert ask(owner, "PEXPIRETIME", token) == over_at


@pytest.fixture
def replicated(cluster):
    """(master, a wire to its replica, a token with payload n=d that the replica has)"""
    master = random.choice(cluster.masters())
    token = ask(master, *START)
    with master.wire() as wire:
        wire.call("SESSIONGATE.PSET", KEY, token, b"n", b"d")
        assert wire.call("WAIT", 1, 10_000) == 1
    with cluster.replica(master).wire() as wire:
        yield master, wire, token


def test_a_replica_serves_reads_after_readonly_only(replicated):
    master, wire, token = replicated
    moved = f"MOVED {slot_of(token)} 127.0.0.1:{master.port}"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == moved
    assert wire.call("READONLY") == "OK"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"other").code == "NOPAYLOAD"
    assert wire.call("SESSIONGATE.PGET", KEY + b"!", token, b"n").code == "BADSIGNATURE"
    assert wire.call("READWRITE") == "OK"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == moved


def test_a_replica_redirects_writes_also_after_readonly(replicated):
    master, wire, token = replicated
    assert wire.call("READONLY") == "OK"
    for call in calls_on(token)[1:]:
        assert wire.call(*call) == f"MOVED {slot_of(token)} 127.0.0.1:{master.port}"
    assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"


def test_a_replica_serves_no_session_that_was_ended_or_is_over(replicated):
    master, wire, token = replicated
    assert wire.call("READONLY") == "OK"
    with master.wire() as at_master:
        over = at_master.call(*START)
        # The replica has to find out by itself: its master does not tell it while this is off.
        assert at_master.call("DEBUG", "SET-ACTIVE-EXPIRE", 0) == "OK"
        try:
            assert at_master.call("SESSIONGATE.EXPIRE", KEY, over, 1) == "OK"
            assert at_master.call("SESSIONGATE.END", KEY, token) == "OK"
            assert at_master.call("WAIT", 1, 10_000) == 1
            assert wire.call("SESSIONGATE.PGET", KEY, token, b"n").code == "NOSESSION"
            wait_for(lambda: wire.call("SESSIONGATE.PGET", KEY, over, b"n").code == "NOSESSION", 10,
                     "the session over on the replica")
            # A master that meets an expired key deletes it; DBSIZE meets none.
            assert at_master.call("DBSIZE") == 1
        finally:
            at_master.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
