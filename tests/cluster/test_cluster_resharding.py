"""Slots that move under load: key by key as redis-cli does it, and at once as Valkey 9 does.

The load lives in two masters. One of them serves few slots, and a third of those move: so every
sixth session moves.
"""

import pytest

from cluster import ask, held, info, misplaced, node_id, shared, slot_of, slots_of
from harness import KEY, Wire, wait_for
from load import DRIFT, Load, RedisPy

NARROW = 192  # slots of the first master
MOVING = 64  # of them
CLIENTS = {"a client of redis-py": RedisPy, "an exact client": None}


@pytest.fixture
def narrow(kept_clusters, new_server):
    """(master of few slots, master of the others, their cluster, in which each has a replica)"""
    for cluster in shared(kept_clusters, "narrow", new_server, masters=2,
                          shares=[NARROW, 16384 - NARROW]):
        yield *cluster.nodes[:2], cluster


def assert_kept(load, cluster):
    """Each session is as the load left it, where a client finds it, and equal on the replica."""
    load.verify()
    load.assert_right()
    cluster.wait_whole()
    assert [misplaced(node) for node in cluster.nodes] == [[]] * len(cluster.nodes)
    assert cluster.unequal() == []


def reshard_there_and_back(cluster, load, one, other, slots):
    for source, target in ((one, other), (other, one)):
        cluster.reshard(source, target, slots)
        load.wait_writes(50)


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_resharding_under_load_loses_no_acknowledged_write(narrow, client):
    one, other, cluster = narrow
    with Load(cluster.ports(), client, drift=DRIFT, client=CLIENTS[client]) as load:
        load.wait_writes(300)
        reshard_there_and_back(cluster, load, one, other, MOVING)
    assert_kept(load, cluster)
    if client == "an exact client":
        assert set(load.handled) <= {"MOVED", "ASK", "TRYAGAIN", "NOSLOT"}
        assert load.handled.get("MOVED", 0) + load.handled.get("ASK", 0) > 0


@pytest.mark.full
def test_resharding_many_sessions_many_times_loses_no_acknowledged_write(make_cluster):
    cluster = make_cluster(masters=3)
    with Load(cluster.ports(), "many", drift=DRIFT, writers=3, rate=500) as load:
        load.wait_writes(20_000, 120)
        for _ in range(3):
            one, other, third = cluster.masters()
            for pair in ((one, other), (other, third), (third, one)):
                reshard_there_and_back(cluster, load, *pair, 200)
    assert_kept(load, cluster)


# At once ------------------------------------------------------------------------------------------

@pytest.fixture
def atomic(new_server):
    """Skips the test on a server that cannot move slots at once."""
    probe = new_server(cluster_enabled="yes").start()
    try:
        answer = ask(probe, "CLUSTER", "GETSLOTMIGRATIONS")
    finally:
        probe.close()
    if isinstance(answer, Wire.Error):
        pytest.skip("this server has no CLUSTER MIGRATESLOTS (Valkey 9 has)")


def migration(node):
    """The last migration that the node knows of, as {name: value}."""
    migrations = ask(node, "CLUSTER", "GETSLOTMIGRATIONS")
    last = migrations[0] if migrations else []
    return dict(zip(last[::2], last[1::2]))


def wait_migration(node, *states):
    wait_for(lambda: migration(node).get(b"state", b"").decode() in states, 30,
             f"a migration of {node} in state {states}")


def migrate_slots(source, target, first, last):
    assert ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last,
               "NODE", node_id(target)) == "OK"


@pytest.mark.slow
def test_atomic_migration_under_load_loses_no_acknowledged_write(atomic, narrow):
    one, other, cluster = narrow
    first, last = 0, MOVING - 1
    with Load(cluster.ports(), "atomic") as load:
        load.wait_writes(300)
        for source, target in ((one, other), (other, one)) * 2:
            migrate_slots(source, target, first, last)
            wait_migration(source, "success")
            cluster.wait_whole()
            assert slots_of(target) >= set(range(first, last + 1))
            load.wait_writes(100)
    assert_kept(load, cluster)
    assert set(load.handled) <= {"MOVED", "NOSLOT"}
    assert load.handled["MOVED"] > 0


def stock(node, sessions):
    """Start that many sessions on the node, every third without a payload; what it then holds."""
    with node.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 600)] * sessions)
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, token * size)
                      for index, token in enumerate(tokens) if index % 3
                      for name, size in ((b"n", 1), (b"\0\r\n", 50)))
    return held(node)


def test_atomic_migration_keeps_data_and_ttl_to_the_millisecond(atomic, narrow):
    one, other, cluster = narrow
    before = stock(one, 300)
    migrate_slots(one, other, 0, MOVING - 1)
    wait_migration(one, "success")
    cluster.wait_whole()
    moved = {token for token in before if slot_of(token) < MOVING}
    assert len(moved) > 50
    assert held(other) == {token: before[token] for token in moved}
    assert held(one) == {token: before[token] for token in before.keys() - moved}
    assert cluster.unequal() == []
    migrate_slots(other, one, 0, MOVING - 1)
    wait_migration(other, "success")
    cluster.wait_whole()
    assert held(one) == before and held(other) == {}


def replayed(node):
    """How many sessions the node has received from another."""
    calls = info(node, "commandstats").get("cmdstat_SGREPLAY.LOAD", "calls=0,")
    return int(calls.split(",")[0].split("=")[1])


def cancel(source, target):
    assert ask(source, "CLUSTER", "CANCELSLOTMIGRATIONS") == "OK"


def die(source, target):
    target.kill9()
    target.start()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [cancel, die])
def test_an_atomic_migration_that_is_cancelled_or_whose_target_dies_changes_nothing(
        atomic, narrow, stop):
    source, target, cluster = narrow
    before = stock(source, 600)
    already = replayed(target)
    assert ask(source, "CONFIG", "SET", "rdb-key-save-delay", 5000) == "OK"  # 3 s for them all
    try:
        migrate_slots(source, target, 0, MOVING - 1)
        wait_for(lambda: replayed(target) >= already + 10, 10, "ten sessions at the target")
        assert migration(source)[b"state"] == b"snapshotting"
        new = ask(source, "SESSIONGATE.START", KEY, 600)
        stop(source, target)
        wait_migration(source, "cancelled", "failed")
    finally:
        ask(source, "CONFIG", "SET", "rdb-key-save-delay", 0)
    cluster.wait_whole()
    wait_for(lambda: held(target) == {}, 10, "the target empty")
    assert len(slots_of(source)) == NARROW
    assert held(source) == {**before, new: held(source)[new]}
    assert cluster.unequal() == []
    assert all(ask(target, "CLUSTER", "COUNTKEYSINSLOT", slot) == 0 for slot in range(MOVING))
    assert ask(source, "SESSIONGATE.PSET", KEY, new, b"n", b"d") == "OK"
