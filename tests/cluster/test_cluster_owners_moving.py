"""Owners under load: their slots move, key by key and at once, and replicas take over."""

import itertools
import random

import pytest

from cluster import ask, held, info, misplaced, slot_of
from harness import KEY, wait_for
from load import DRIFT
from owners import OwnerReader, OwnersLoad
from test_cluster_failover import fail_over_each, kill_one, mortal  # noqa: F401
from test_cluster_resharding import (  # noqa: F401
    MOVING, atomic, migrate_slots, narrow, wait_migration)


def labels_in(slots, several):
    """Makes labels in a few of those slots."""
    tags = itertools.islice((tag for tag in map(b"%d".__mod__, itertools.count())
                             if slot_of(tag) in slots), several)
    cycle = list(tags)
    return {slot_of(tag) for tag in cycle}, lambda name: b"{%b}:%b:%d" % (
        cycle[name[1] % several], *name)


def assert_kept(load, cluster):
    """Each owner is as the load left it, on master and replica, with nothing out of place."""
    load.verify()
    load.assert_right()
    assert load.counts["OSTART sure"] and load.counts["OEND sure"]
    cluster.wait_whole()
    assert [misplaced(node) for node in cluster.nodes] == [[]] * len(cluster.nodes)
    assert cluster.unequal() == []


# Key by key --------------------------------------------------------------------------------------

class Pauses:
    """The pauses between one key and the next, in which the load goes on."""

    def __init__(self, load, seed):
        self.load, self.dice = load, random.Random(seed)
        self.count = 0

    def __call__(self):
        """Wait for some calls. Those that only meet TRYAGAIN do count: every writer may wait for
        what has to be moved next."""
        def made():
            return self.load.met("TRYAGAIN") + sum(self.load.counts.values())
        target = made() + self.dice.choice((1, 4, 12))
        wait_for(lambda: made() >= target or any(self.load.broken.values()), 60, "some calls")
        self.count += 1


def move_under_load(narrow, seed, rounds, **options):  # noqa: F811
    one, other, cluster = narrow
    slots, labels = labels_in(range(MOVING), 2)
    with OwnersLoad(cluster.ports(), seed, labels, drift=DRIFT, **options) as load:
        load.wait_writes(200)
        pauses, asker = Pauses(load, seed), OwnerReader(load, seed)
        for source, target in ((one, other), (other, one)) * rounds:
            for slot in slots:
                cluster.move_slowly(slot, source, target, pauses.dice, pauses)
                # Before the next TOUCH of each session heals what went wrong.
                for owner in list(load.owners):
                    if slot_of(owner.label) == slot:
                        asker.check_lives(owner)
            cluster.wait_whole()
            load.wait_writes(50)
        asker.close()
    assert_kept(load, cluster)
    print(f"{pauses.count} keys were moved; handled {load.handled}; {load.counts}")
    assert set(load.handled) <= {"MOVED", "ASK", "TRYAGAIN"}
    assert load.handled["ASK"] > 0
    assert load.handled["TRYAGAIN"] > pauses.count / 10


@pytest.mark.slow
def test_owners_whose_keys_move_one_by_one_under_load_stay_whole(narrow):  # noqa: F811
    move_under_load(narrow, "one by one", 1)


@pytest.mark.full
def test_many_owners_whose_keys_move_one_by_one_under_load_stay_whole(narrow):  # noqa: F811
    move_under_load(narrow, "many", 4, writers=4, readers=3, rate=100)


# At once -----------------------------------------------------------------------------------------

def received(node):
    """How many sessions the node has received from others."""
    calls = info(node, "commandstats").get("cmdstat_SGREPLAY.LOAD", "calls=0,")
    return int(calls.split(",")[0].split("=")[1])


def cancel_midway(source, target):
    already = received(target)
    assert ask(source, "CONFIG", "SET", "rdb-key-save-delay", 5000) == "OK"
    try:
        migrate_slots(source, target, 0, MOVING - 1)
        wait_for(lambda: received(target) >= already + 10, 30, "ten sessions at the target")
        assert ask(source, "CLUSTER", "CANCELSLOTMIGRATIONS") == "OK"
        wait_migration(source, "cancelled", "failed")
    finally:
        ask(source, "CONFIG", "SET", "rdb-key-save-delay", 0)


@pytest.mark.slow
def test_owners_whose_slots_move_at_once_under_load_stay_whole(atomic, narrow):  # noqa: F811
    one, other, cluster = narrow
    _, labels = labels_in(range(MOVING), 4)
    with OwnersLoad(cluster.ports(), "at once", labels) as load:
        load.wait_writes(300)
        for source, target in ((one, other), (other, one)):
            cancel_midway(source, target)
            cluster.wait_whole()
            load.wait_writes(50)
            migrate_slots(source, target, 0, MOVING - 1)
            wait_migration(source, "success")
            cluster.wait_whole()
            load.wait_writes(100)
    assert_kept(load, cluster)
    assert set(load.handled) <= {"MOVED"}
    assert load.handled["MOVED"] > 0


def test_moving_at_once_keeps_owners_to_the_millisecond(atomic, narrow):  # noqa: F811
    one, other, cluster = narrow
    slots, labels = labels_in(range(MOVING), 4)
    with one.wire() as wire:
        for number in range(40):
            label = labels((b"still", number))
            tokens = [wire.call("SESSIONGATE.OSTART", KEY, label, 600 + each, "MAXTTL", 5000,
                                "PAYLOADS", 1, b"n", label) for each in range(1 + number % 5)]
            wire.call("SESSIONGATE.ROTATE", KEY, tokens[0], "GRACE", 300)
    before = held(one)
    listed = {label: ask(one, "SESSIONGATE.OLIST", KEY, label)
              for label in before if not label.startswith(b"v2.")}
    assert len(listed) == 40
    for source, target in ((one, other), (other, one)):
        migrate_slots(source, target, 0, MOVING - 1)
        wait_migration(source, "success")
        cluster.wait_whole()
        assert held(target) == before and held(source) == {}
        assert {label: ask(target, "SESSIONGATE.OLIST", KEY, label) for label in listed} == listed
        assert cluster.unequal() == []


# Replicas that take over -------------------------------------------------------------------------

@pytest.mark.slow
def test_failovers_by_order_under_load_keep_owners_whole(cluster):
    load = OwnersLoad(cluster.ports(), "ordered")
    fail_over_each(cluster, load)
    assert_kept(load, cluster)


@pytest.mark.slow
def test_the_death_of_a_master_under_load_keeps_owners_whole(mortal):  # noqa: F811
    load = OwnersLoad(mortal.ports(), "killed", waits=True)
    kill_one(mortal, load)
    assert_kept(load, mortal)
    assert load.handled["no answer"] > 0


def test_a_promoted_replica_has_each_owner_with_its_expiry_time_to_the_millisecond(cluster):
    master = cluster.masters()[0]
    replica = cluster.replica(master)
    labels = list(itertools.islice((label for label in map(b"owner:%d".__mod__, itertools.count())
                                    if cluster.owner(label) is master), 20))
    with master.wire() as wire:
        tokens = [[wire.call("SESSIONGATE.OSTART", KEY, label, 300 * each) for each in (1, 2, 3, 4)]
                  for label in labels]
        wire.pipeline(("SESSIONGATE.OSTART", KEY, label, 100, "LIMIT", 3) for label in labels[:10])
        wire.pipeline(("SESSIONGATE.EXPIRE", KEY, some[3], 50) for some in tokens[5:])
        wire.pipeline(("SESSIONGATE.ROTATE", KEY, some[2], "GRACE", 100) for some in tokens[8:])
        wire.pipeline(("SESSIONGATE.OEND", KEY, label) for label in labels[15:])
        listed = wire.pipeline(("SESSIONGATE.OLIST", KEY, label) for label in labels)
        assert wire.call("WAIT", 1, 10_000) == 1
    assert list(map(len, listed)) == [3] * 10 + [4] * 5 + [0] * 5
    before = held(master)
    assert held(replica) == before
    cluster.fail_over(replica)
    cluster.wait_whole()
    assert held(replica) == held(master) == before
    with replica.wire() as wire:
        assert wire.pipeline(("SESSIONGATE.OLIST", KEY, label) for label in labels) == listed
        assert wire.pipeline(("SESSIONGATE.OEND", KEY, label) for label in labels) == \
            list(map(len, listed))
