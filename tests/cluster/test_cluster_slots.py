"""A slot that moves key by key, one step at a time: what each node answers in each state.

    source  MIGRATING to the target: serves the sessions it has, sends the rest there by ASK
    target  IMPORTING from the source: serves after ASKING only, and redirects by MOVED otherwise
"""

import itertools
import time

import pytest

from cluster import ask, node_id, slot_of
from harness import KEY, Wire, signed, wait_for

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def never_started(slot):
    """A rightly signed token of that slot that no START answered."""
    for end in itertools.product(CHARACTERS, repeat=4):
        token = signed(KEY, ("neverstarted" + "".join(end)).encode())
        if slot_of(token) == slot:
            return token


class Move:
    """Two sessions of one slot, and the steps in which the slot moves."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.source, self.target = cluster.masters()[:2]
        with self.source.wire() as wire:
            by_slot = {}
            while True:
                token = wire.call("SESSIONGATE.START", KEY, 600)
                slot = slot_of(token)
                if slot in by_slot:
                    break
                by_slot[slot] = token
            self.slot, self.one, self.other = slot, by_slot[slot], token
            for token in (self.one, self.other):
                assert wire.call("SESSIONGATE.PSET", KEY, token, b"n", token) == "OK"
        self.absent = never_started(self.slot)
        self.ask_target = f"ASK {self.slot} 127.0.0.1:{self.target.port}"
        self.moved_to_source = f"MOVED {self.slot} 127.0.0.1:{self.source.port}"
        self.moved_to_target = f"MOVED {self.slot} 127.0.0.1:{self.target.port}"

    def set(self, node, *state):
        assert ask(node, "CLUSTER", "SETSLOT", self.slot, *state) == "OK"

    def importing(self):
        self.set(self.target, "IMPORTING", node_id(self.source))

    def migrating(self):
        self.set(self.source, "MIGRATING", node_id(self.target))

    def migrate(self, *tokens):
        """Move these sessions; returns how many milliseconds it took, rounded up."""
        begun = time.monotonic()
        assert ask(self.source, "MIGRATE", "127.0.0.1", self.target.port, "", 0, 10_000, "KEYS",
                   *tokens) == "OK"
        return int((time.monotonic() - begun) * 1000) + 1

    def finish(self):
        for node in (self.target, self.source, *self.cluster.masters()[2:]):
            self.set(node, "NODE", node_id(self.target))

    def undo(self):
        """Back to where it was, in whatever state the slot is."""
        for node in (self.source, self.target):
            ask(node, "FLUSHALL")
            self.set(node, "STABLE")
        if self.cluster.owner(self.one) is self.target:
            self.source, self.target = self.target, self.source
            self.importing()
            self.migrating()
            self.finish()


@pytest.fixture
def move(cluster):
    move = Move(cluster)
    yield move
    move.undo()


def pget(node, token, asking=False):
    with node.wire() as wire:
        if asking:
            assert wire.call("ASKING") == "OK"
        return wire.call("SESSIONGATE.PGET", KEY, token, b"n")


def calls_on(token):
    """Each command that takes a token; they leave the session as it was, but for the last one."""
    return [("SESSIONGATE.PGET", KEY, token, b"n"), ("SESSIONGATE.PSET", KEY, token, b"m", b"d"),
            ("SESSIONGATE.PDEL", KEY, token, b"m"), ("SESSIONGATE.EXPIRE", KEY, token, 600),
            ("SESSIONGATE.END", KEY, token)]


def test_a_target_that_imports_redirects_to_the_source_until_it_is_asked(move):
    move.importing()
    assert pget(move.target, move.one) == move.moved_to_source
    assert pget(move.target, move.one, asking=True).code == "NOSESSION"
    assert pget(move.source, move.one) == move.one


def test_a_source_serves_the_sessions_that_have_not_moved_yet(move):
    move.importing()
    move.migrating()
    answers = [ask(move.source, *call) for call in calls_on(move.one)]
    assert answers == [move.one, "OK", "OK", "OK", "OK"]
    assert pget(move.source, move.other) == move.other


def test_a_source_sends_on_what_it_does_not_have(move):
    move.importing()
    move.migrating()
    for call in calls_on(move.absent):
        assert ask(move.source, *call) == move.ask_target
    assert pget(move.target, move.absent) == move.moved_to_source
    assert pget(move.target, move.absent, asking=True).code == "NOSESSION"


def test_a_session_that_was_ended_at_the_source_is_over_at_the_target(move):
    move.importing()
    move.migrating()
    assert ask(move.source, "SESSIONGATE.END", KEY, move.one) == "OK"
    assert pget(move.source, move.one) == move.ask_target
    with move.target.wire() as wire:
        for call in calls_on(move.one):
            wire.call("ASKING")
            assert wire.call(*call).code == "NOSESSION"


def test_a_session_that_moved_is_served_at_the_target_and_redirected_by_the_source(move):
    before = ask(move.source, "PEXPIRETIME", move.one)
    move.importing()
    move.migrating()
    took = move.migrate(move.one)
    for call in calls_on(move.one):
        assert ask(move.source, *call) == move.ask_target
        assert ask(move.target, *call) == move.moved_to_source
    with move.target.wire() as wire:
        wire.call("ASKING")
        # MIGRATE sends the TTL that is left, so the time on the way is added.
        assert before <= wire.call("PEXPIRETIME", move.one) <= before + took
        for call, answer in zip(calls_on(move.one), [move.one, "OK", "OK", "OK", "OK"]):
            wire.call("ASKING")
            assert wire.call(*call) == answer
    assert pget(move.source, move.other) == move.other


def test_a_payload_that_ends_moves_with_its_session_and_ends_when_it_would_have(move):
    """What is over moves too, and is removed by the next write there."""
    for name, life in ((b"lives", ("EX", 300)), (b"over", ("PX", 1))):
        assert ask(move.source, "SESSIONGATE.PSET", KEY, move.one, name, b"d", *life) == "OK"
    pttl = ("SESSIONGATE.PTTL", KEY, move.one)
    wait_for(lambda: isinstance(ask(move.source, *pttl, b"over"), Wire.Error), 10, "one is over")
    digest = ask(move.source, "DEBUG", "DIGEST-VALUE", move.one)
    move.importing()
    move.migrating()
    move.migrate(move.one, move.other)
    assert ask(move.target, "DEBUG", "DIGEST-VALUE", move.one) == digest
    move.finish()
    assert 200_000 < ask(move.target, *pttl, b"lives") <= 300_000
    assert ask(move.target, *pttl, b"over").code == "NOPAYLOAD"
    assert ask(move.target, "SESSIONGATE.PSET", KEY, move.one, b"over", b"d", "NX") == "OK"


def test_two_sessions_on_two_sides_are_answered_tryagain(move):
    move.importing()
    move.migrating()
    move.migrate(move.one)
    both = ("EVAL", """return {redis.call('SESSIONGATE.PGET', ARGV[1], KEYS[1], 'n'),
        redis.call('SESSIONGATE.PGET', ARGV[1], KEYS[2], 'n')}""", 2, move.one, move.other, KEY)
    assert ask(move.source, *both).code == "TRYAGAIN"
    with move.target.wire() as wire:
        wire.call("ASKING")
        assert wire.call(*both).code == "TRYAGAIN"
        move.migrate(move.other)
        wire.call("ASKING")
        assert wire.call(*both) == [move.one, move.other]
    assert ask(move.source, *both) == move.ask_target


def test_a_slot_that_has_moved_is_served_by_the_target_alone(move):
    move.importing()
    move.migrating()
    move.migrate(move.one, move.other)
    move.finish()
    for call, answer in zip(calls_on(move.one), [move.one, "OK", "OK", "OK", "OK"]):
        assert ask(move.source, *call) == move.moved_to_target
        assert ask(move.target, *call) == answer
    assert pget(move.target, move.other) == move.other
    assert pget(move.target, move.absent).code == "NOSESSION"
