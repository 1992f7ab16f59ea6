"""Rotated tokens in a cluster: both in one slot; followed, or TRYAGAIN, while that slot moves."""

import threading

import pytest

from cluster import Client, ask, held, misplaced, node_id, slot_of, slots_of
from features import ALL, OTHER_KEY, is_v2, signed_v2
from harness import KEY, Wire, signed, wait_for
from test_cluster_resharding import (  # noqa: F401
    MOVING, atomic, migrate_slots, narrow, wait_migration)
from test_cluster_slots import move  # noqa: F401

START = ("SESSIONGATE.START", KEY, 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d")


def rotate(node, token, *options):
    return ask(node, "SESSIONGATE.ROTATE", KEY, token, *options)


def start_many(wire, count, *options):
    """Start that many sessions. A starved node with few slots may find none in time: ask again."""
    tokens = []
    while len(tokens) < count:
        answers = wire.pipeline([(*START, *options)] * (count - len(tokens)))
        assert {answer.code for answer in answers if isinstance(answer, Wire.Error)} <= {"NOSLOT"}
        tokens.extend(answer for answer in answers if isinstance(answer, bytes))
    return tokens


# Where they are ----------------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["v1", "v2"])
def test_a_rotated_token_is_v2_and_in_the_slot_of_the_old_one(cluster, form):
    for master in cluster.masters():
        with master.wire() as wire:
            tokens = wire.pipeline([(*START, "FORMAT", form)] * 200)
            news = wire.pipeline(("SESSIONGATE.ROTATE", KEY, token, "GRACE", 100)
                                 for token in tokens)
            newest = wire.pipeline(("SESSIONGATE.ROTATE", KEY, token) for token in news)
            read = wire.pipeline(("SESSIONGATE.PGET", KEY, token, b"n") for token in newest)
        assert read == [b"d"] * 200
        for old, new, last in zip(tokens, news, newest):
            assert is_v2(new) and is_v2(last) and new != last
            assert slot_of(old) == slot_of(new) == slot_of(last)
        assert len(set(news + newest)) == 400
        assert misplaced(master) == []
    assert cluster.unequal() == []


def test_a_new_sign_key_makes_no_difference_to_the_slot(cluster):
    master = cluster.masters()[1]
    for _ in range(20):
        old = ask(master, *START)
        new = rotate(master, old, "NEWKEY", OTHER_KEY, "GRACE", 100)
        assert is_v2(new, OTHER_KEY) and slot_of(new) == slot_of(old)
        assert ask(master, "SESSIONGATE.PGET", OTHER_KEY, new, b"n") == b"d"
        assert ask(master, "SESSIONGATE.PGET", KEY, old, b"n") == b"d"


def test_start_with_format_v2_answers_tokens_of_slots_that_the_node_serves(cluster):
    for master in cluster.masters():
        with master.wire() as wire:
            tokens = wire.pipeline([(*START, "FORMAT", "v2")] * 1000)
        assert all(is_v2(token) for token in tokens)
        assert {slot_of(token) for token in tokens} <= slots_of(master)
        assert len({slot_of(token) for token in tokens}) > 700
        assert misplaced(master) == []


def test_an_adopted_token_belongs_to_the_node_of_its_slot(cluster):
    for token in (signed(), signed_v2(), signed_v2(pad=b"abd"), signed_v2(pad=b"xyz")):
        owner = cluster.owner(token)
        for master in cluster.masters():
            if master is not owner:
                assert ask(master, "SESSIONGATE.ADOPT", KEY, token, 60).code == "MOVED"
        assert ask(owner, "SESSIONGATE.ADOPT", KEY, token, 60) == "OK"
        assert misplaced(owner) == []


def test_a_rotation_inside_a_transaction_keeps_the_session(cluster):
    """Servers since Redis 7.4 and Valkey 8.0 keep the slot of a transaction in mind."""
    master = cluster.masters()[0]
    with master.wire() as wire:
        old = wire.call(*START)
        assert wire.call("MULTI") == "OK"
        for call in (("SESSIONGATE.PSET", KEY, old, b"m", b"d"),
                     ("SESSIONGATE.ROTATE", KEY, old, "GRACE", 100),
                     ("SESSIONGATE.PSET", KEY, old, b"n", b"changed")):
            assert wire.call(*call) == "QUEUED"
        _, new, _ = wire.call("EXEC")
        assert wire.call("SESSIONGATE.PMGET", KEY, new, b"n", b"m") == [b"changed", b"d"]
    assert misplaced(master) == []


def test_a_replica_serves_and_inherits_an_alias(cluster):
    master = cluster.masters()[0]
    old = ask(master, *START)
    new = rotate(master, old, "GRACE", 100)
    ask(master, "SESSIONGATE.PSET", KEY, old, b"m", b"d")
    cluster.wait_whole()
    replica = cluster.replica(master)
    assert held(replica) == held(master)
    with replica.wire() as wire:
        assert wire.call("SESSIONGATE.PGET", KEY, old, b"n").code == "MOVED"
        wire.call("READONLY")
        for token in (old, new):
            assert wire.call("SESSIONGATE.PMGET", KEY, token, b"n", b"m") == [b"d", b"d"]
    assert ask(master, "SESSIONGATE.END", KEY, old) == "OK"
    cluster.wait_whole()
    assert held(replica) == held(master) == {}


def test_an_alias_that_was_renamed_into_another_slot_is_dead(cluster):
    """No command may open a key of another slot; the server refuses to rename, MIGRATE does not."""
    master = cluster.masters()[0]
    old = ask(master, *START)
    rotate(master, old, "GRACE", 100)
    dump = ask(master, "DUMP", old)
    other = ask(master, *START)
    assert ask(master, "SESSIONGATE.END", KEY, other) == "OK"
    assert slot_of(other) != slot_of(old)
    assert ask(master, "RESTORE", other, 60_000, dump) == "OK"
    assert ask(master, "SESSIONGATE.ADOPT", KEY, other, 60).code == "BUSYTOKEN"
    for command, rest in ALL.items():
        assert ask(master, "SESSIONGATE." + command, KEY, other, *rest).code == "NOSESSION"


# While the slot moves ----------------------------------------------------------------------------

def answers(node, token, asking=False):
    """{command: its answer, or the first word of its error} for each command on the token; those
    that end the session come last."""
    found = {}
    with node.wire() as wire:
        for command, rest in sorted(ALL.items(), key=lambda item: item[0] in ("ROTATE", "END")):
            if asking:
                wire.call("ASKING")
            reply = wire.call("SESSIONGATE." + command, KEY, token, *rest)
            found[command] = reply.code if isinstance(reply, Wire.Error) else reply
    return found


def all_are(found, code):
    return set(map(str, found.values())) == {code}


@pytest.fixture
def rotated(move):  # noqa: F811
    """A slot about to move, and an alias and its successor in it."""
    new = rotate(move.source, move.one, "GRACE", 300)
    assert slot_of(new) == move.slot
    return move, move.one, new


def test_a_rotation_in_a_slot_that_moves_away_is_answered_tryagain(move):  # noqa: F811
    """The source takes no new keys of the slot: they would be left behind."""
    move.importing()
    move.migrating()
    before = held(move.source)
    for options in ((), ("GRACE", 100), ("NEWKEY", OTHER_KEY)):
        assert rotate(move.source, move.one, *options).code == "TRYAGAIN"
    assert held(move.source) == before
    assert ask(move.source, "SESSIONGATE.PGET", KEY, move.one, b"n") == move.one


def test_a_session_that_has_moved_is_rotated_at_the_target(move):  # noqa: F811
    move.importing()
    move.migrating()
    move.migrate(move.one)
    assert rotate(move.source, move.one) == move.ask_target
    with move.target.wire() as wire:
        wire.call("ASKING")
        new = wire.call("SESSIONGATE.ROTATE", KEY, move.one, "GRACE", 100)
        assert is_v2(new) and slot_of(new) == move.slot
        for token in (new, move.one):
            wire.call("ASKING")
            assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == move.one
    assert ask(move.source, "SESSIONGATE.PGET", KEY, new, b"n") == move.ask_target
    move.migrate(move.other)
    move.finish()
    assert ask(move.target, "SESSIONGATE.PGET", KEY, move.one, b"n") == move.one


def test_an_alias_works_at_the_source_until_it_moves(rotated):
    move, old, new = rotated
    move.importing()
    move.migrating()
    assert ask(move.source, "SESSIONGATE.PGET", KEY, old, b"n") == old
    assert ask(move.source, "SESSIONGATE.PSET", KEY, old, b"n", b"changed") == "OK"
    assert rotate(move.source, old, "GRACE", 300) == new
    assert rotate(move.source, old).code == "TRYAGAIN"
    assert ask(move.source, "SESSIONGATE.END", KEY, old) == "OK"
    assert ask(move.source, "EXISTS", old).startswith("ASK")
    assert ask(move.source, "EXISTS", new).startswith("ASK")


def test_an_alias_is_answered_tryagain_while_its_successor_has_moved_before_it(rotated):
    move, old, new = rotated
    move.importing()
    move.migrating()
    move.migrate(new)
    assert all_are(answers(move.source, old), "TRYAGAIN")
    assert ask(move.source, "SESSIONGATE.ADOPT", KEY, old, 60).code in ("BUSYTOKEN", "TRYAGAIN")
    assert ask(move.source, "SESSIONGATE.PGET", OTHER_KEY, old, b"n").code == "BADSIGNATURE"
    with move.target.wire() as wire:
        wire.call("ASKING")
        assert wire.call("SESSIONGATE.PGET", KEY, new, b"n") == old
    check_after_the_move(move, old, new, old)


def test_an_alias_is_answered_tryagain_while_it_has_moved_before_its_successor(rotated):
    move, old, new = rotated
    move.importing()
    move.migrating()
    move.migrate(old)
    assert ask(move.source, "SESSIONGATE.PGET", KEY, old, b"n") == move.ask_target
    assert all_are(answers(move.target, old, asking=True), "TRYAGAIN")
    assert ask(move.source, "SESSIONGATE.PGET", KEY, new, b"n") == old
    check_after_the_move(move, old, new, new)


def check_after_the_move(move, old, new, last):
    """When the last of both has moved, and when the whole slot has, the alias is followed."""
    move.migrate(last)
    with move.target.wire() as wire:
        for token in (old, new):
            wire.call("ASKING")
            assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == old
    move.migrate(move.other)
    move.finish()
    for token in (old, new):
        assert ask(move.target, "SESSIONGATE.PGET", KEY, token, b"n") == old
        assert ask(move.source, "SESSIONGATE.PGET", KEY, token, b"n") == move.moved_to_target
    assert rotate(move.target, old, "GRACE", 300) == new
    assert ask(move.target, "SESSIONGATE.END", KEY, old) == "OK"
    assert all_are(answers(move.target, old), "NOSESSION")
    assert all_are(answers(move.target, new), "NOSESSION")


def test_a_replica_of_the_source_follows_an_alias_where_it_can_know(rotated):
    """Valkey tells its replicas which slots move; Redis does not."""
    move, old, new = rotated
    move.importing()
    move.migrating()
    move.migrate(new)
    move.cluster.wait_whole()
    with move.cluster.replica(move.source).wire() as wire:
        assert wire.call("READONLY") == "OK"
        answer = wire.call("SESSIONGATE.PGET", KEY, old, b"n")
    assert answer.code == ("TRYAGAIN" if move.source.valkey else "NOSESSION")
    check_after_the_move(move, old, new, old)


def test_an_alias_in_the_middle_of_a_chain_may_move_first(rotated):
    move, first, second = rotated
    third = rotate(move.source, second, "GRACE", 300)
    move.importing()
    move.migrating()
    move.migrate(second)
    assert all_are(answers(move.source, first), "TRYAGAIN")
    assert all_are(answers(move.target, second, asking=True), "TRYAGAIN")
    move.migrate(third)
    assert all_are(answers(move.source, first), "TRYAGAIN")
    move.migrate(first, move.other)
    move.finish()
    for token in (first, second, third):
        assert ask(move.target, "SESSIONGATE.PGET", KEY, token, b"n") == first


def test_moving_keeps_an_alias_to_the_millisecond(rotated):
    move, old, new = rotated
    before = held(move.source)
    move.importing()
    move.migrating()
    took = move.migrate(old, new, move.other)
    move.finish()
    after = held(move.target)
    for token in (old, new):
        assert after[token][0] == before[token][0]
        assert before[token][1] <= after[token][1] <= before[token][1] + took


# Under load --------------------------------------------------------------------------------------

class Pairs:
    """Rotated sessions, and a client that goes on writing through their aliases until stopped."""

    def __init__(self, cluster, node, count=300):
        with node.wire() as wire:
            self.old = start_many(wire, count)
            self.new = wire.pipeline(("SESSIONGATE.ROTATE", KEY, token, "GRACE", 300)
                                     for token in self.old)
        self.client = Client(cluster.ports(), seed=1)
        self.written = dict.fromkeys(self.old)
        self.wrong = []
        self.rounds = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set() and not self.wrong:
            for old, new in zip(self.old, self.new):
                data = b"of round %d" % self.rounds
                for expected, call in (("OK", ("PSET", KEY, old, b"n", data)),
                                       (data, ("PGET", KEY, old, b"n")),
                                       (new, ("ROTATE", KEY, old, "GRACE", 300))):
                    reply, _ = self.client.write(old, "SESSIONGATE." + call[0], *call[1:])
                    if reply != expected:
                        self.wrong.append((call[0], reply))
                self.written[old] = data
            self.rounds += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(120)
        self.client.close()

    def wait_rounds(self, rounds):
        target = self.rounds + rounds
        wait_for(lambda: self.rounds >= target or self.wrong, 60, f"{rounds} more rounds")

    def verify(self, cluster):
        assert self.wrong == []
        with Client(cluster.ports()) as client:
            for old, new in zip(self.old, self.new):
                for token in (old, new):
                    data = client.read(token, "SESSIONGATE.PGET", KEY, token, b"n")
                    assert data == self.written[old]


@pytest.mark.slow
def test_a_client_of_aliases_never_hears_nosession_while_their_slots_move(narrow):  # noqa: F811
    one, other, cluster = narrow
    with Pairs(cluster, one) as pairs:
        pairs.wait_rounds(1)
        for source, target in ((one, other), (other, one)):
            cluster.manage("reshard", f"127.0.0.1:{source.port}",
                           "--cluster-from", node_id(source), "--cluster-to", node_id(target),
                           "--cluster-slots", MOVING, "--cluster-yes",
                           "--cluster-pipeline", 1)  # so that a token moves without its other one
            cluster.wait_whole()
            pairs.wait_rounds(1)
    pairs.verify(cluster)
    assert set(pairs.client.handled) <= {"MOVED", "ASK", "TRYAGAIN"}
    assert pairs.client.handled.get("ASK", 0) + pairs.client.handled.get("MOVED", 0) > 0
    assert cluster.unequal() == []


@pytest.mark.slow
def test_atomic_migration_takes_aliases_along(atomic, narrow):  # noqa: F811
    one, other, cluster = narrow
    with Pairs(cluster, one) as pairs:
        for source, target in ((one, other), (other, one)):
            migrate_slots(source, target, 0, MOVING - 1)
            wait_migration(source, "success")
            cluster.wait_whole()
            pairs.wait_rounds(1)
    pairs.verify(cluster)
    assert set(pairs.client.handled) <= {"MOVED"}


def test_atomic_migration_keeps_times_and_aliases_to_the_millisecond(atomic, narrow):  # noqa: F811
    one, other, cluster = narrow
    with one.wire() as wire:
        for form in ("v1", "v2"):
            tokens = start_many(wire, 200, "FORMAT", form)
            wire.pipeline(("SESSIONGATE.ROTATE", KEY, token, "GRACE", 300) for token in tokens[::2])
    before = held(one)
    assert len(before) == 600
    migrate_slots(one, other, 0, MOVING - 1)
    wait_migration(one, "success")
    cluster.wait_whole()
    after = {**held(one), **held(other)}
    assert after == before and len(held(other)) > 100
    assert cluster.unequal() == []
    migrate_slots(other, one, 0, MOVING - 1)
    wait_migration(other, "success")
    cluster.wait_whole()
    assert held(one) == before and held(other) == {}
