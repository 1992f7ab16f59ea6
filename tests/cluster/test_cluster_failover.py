"""A replica takes over: by order, because its master died, or because its master fell asleep."""

import pytest

from cluster import ask, held, shared
from harness import KEY
from load import Load


@pytest.fixture
def mortal(kept_clusters, new_server):
    """A cluster that soon notices when a master is gone."""
    yield from shared(kept_clusters, "mortal", new_server, timeout_ms=2000)


def assert_kept(load, cluster):
    load.verify()
    load.assert_right()
    assert cluster.unequal() == []


def fail_over_each(cluster, load):
    """By order. That waits until the replica has all that its master acknowledged: no WAIT."""
    with load:
        for master in cluster.masters():
            load.wait_writes(150)
            cluster.fail_over(cluster.replica(master))
            cluster.wait_whole()
        load.wait_writes(150)


def kill_one(cluster, load):
    master = cluster.masters()[0]
    replica = cluster.replica(master)
    with load:
        load.wait_writes(300)
        master.kill9()
        cluster.wait_promoted(replica)
        load.wait_writes(150)
        master.start()  # without its data: it was not told to save any
        cluster.wait_whole()
        load.wait_writes(150)


@pytest.mark.slow
def test_failovers_by_order_under_load_lose_no_acknowledged_write(cluster):
    load = Load(cluster.ports(), "ordered")
    fail_over_each(cluster, load)
    assert_kept(load, cluster)


@pytest.mark.slow
def test_the_death_of_a_master_under_load_loses_nothing_that_was_waited_for(mortal):
    load = Load(mortal.ports(), "killed", waits=True)
    kill_one(mortal, load)
    assert_kept(load, mortal)
    assert load.handled["no answer"] > 0


@pytest.mark.slow
def test_a_master_that_wakes_up_overtaken_loses_nothing_that_was_waited_for(mortal):
    master = mortal.masters()[0]
    replica = mortal.replica(master)
    with Load(mortal.ports(), "asleep", waits=True, timeout=1) as load:
        load.wait_writes(300)
        master.pause()
        mortal.wait_promoted(replica)
        load.wait_writes(50)
        master.resume()
        mortal.wait_whole()
        load.wait_writes(150)
    assert_kept(load, mortal)
    assert load.handled["no answer"] > 0


def test_a_promoted_replica_has_each_session_with_its_expiry_time_to_the_millisecond(cluster):
    master = cluster.masters()[0]
    replica = cluster.replica(master)
    with master.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 600)] * 100)
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"n", token) for token in tokens)
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, token, *life) for token in tokens
                      for name, *life in ((b"lives", "EX", 500), (b"over", "PX", 1)))
        wire.pipeline(("SESSIONGATE.EXPIRE", KEY, token, 300 + index)
                      for index, token in enumerate(tokens[:50]))
        wire.pipeline(("SESSIONGATE.END", KEY, token) for token in tokens[90:])
        assert wire.call("WAIT", 1, 10_000) == 1
    before = held(master)
    assert len(before) == 90
    assert held(replica) == before
    cluster.fail_over(replica)
    cluster.wait_whole()
    assert held(replica) == held(master) == before
    for token in tokens[:90]:
        assert 400_000 < ask(replica, "SESSIONGATE.PTTL", KEY, token, b"lives") <= 500_000
        assert ask(replica, "SESSIONGATE.PGET", KEY, token, b"over").code == "NOPAYLOAD"
    for token in tokens[90:]:
        assert ask(replica, "SESSIONGATE.PSET", KEY, token, b"n", b"d").code == "NOSESSION"
