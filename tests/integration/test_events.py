"""Keyspace events: each change publishes one of its own name, and what changes nothing none."""

import contextlib
import re

import pytest

from features import OTHER_KEY, pushes, sg
from harness import KEY, end, expire, pset, signed, start, wait_for
from pages import section

PREFIX = b"__keyspace@0__:"


class Listener:
    """What a server publishes of the keys of its first database; "A" has "d" in it, but not "n"."""

    def __init__(self, server, classes="KAn"):
        self.server = server
        server.client().config_set("notify-keyspace-events", classes)
        self.wire = server.wire()
        self.wire.call("PSUBSCRIBE", PREFIX + b"*")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def heard(self):
        """[(key, event)] since the last call."""
        self.server.client().publish(PREFIX + b"mark", "")
        heard = []
        while True:
            _, _, channel, event = self.wire.read()
            key = channel[len(PREFIX):]
            if key == b"mark":
                return heard
            heard.append((key, event.decode()))


@pytest.fixture
def events(server):
    with Listener(server) as listener:
        yield listener


@pytest.fixture
def token(r, events):
    """A session with a payload n, whose events were heard."""
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"d")
    events.heard()
    return token


CHANGES = {
    "pset": [("PSET", b"n", b"x"), ("PSET", b"n", b"d"), ("PSET", b"m", b"x"),
             ("PSET", b"m", b"x", b"NX"), ("PSET", b"n", b"x", b"XX")],
    "pmset": [("PMSET", b"n", b"x"), ("PMSET", b"m", b"x", b"o", b"x")],
    "pdel": [("PDEL", b"n")],
    "ppop": [("PPOP", b"n")],
    "expire": [("EXPIRE", 10), ("EXPIRE", 100_000)],
    "touch": [("TOUCH",), ("TOUCH", b"MINAGE", 5)],
    "end": [("END",), ("EXPIRE", 0)],
}


@pytest.mark.parametrize("event", CHANGES)
def test_a_change_publishes_one_event_of_its_name(r, events, event):
    for command, *arguments in CHANGES[event]:
        token = start(r, KEY, 1000)
        pset(r, token, b"n", b"d")
        if event == "touch":
            r.pexpire(token, 10_000)
        events.heard()
        sg(r, command, token, *arguments)
        assert events.heard() == [(token, "sessiongate." + event)], (command, arguments)


@pytest.mark.parametrize("options", [(), ("MAXTTL", 9), ("PAYLOADS", 2, b"n", b"d", b"m", b"d"),
                                     ("FORMAT", "v2")], ids=str)
def test_a_start_publishes_the_servers_new_and_one_event(r, events, options):
    token = sg(r, "START", 60, *options)
    assert events.heard() == [(token, "new"), (token, "sessiongate.start")]


def test_an_adoption_publishes_the_servers_new_and_one_event(r, events):
    sg(r, "ADOPT", signed(), 60, "PAYLOADS", 1, b"n", b"d")
    assert events.heard() == [(signed(), "new"), (signed(), "sessiongate.adopt")]


def test_a_rotation_publishes_one_event_for_each_of_its_tokens(r, events, token):
    successor = sg(r, "ROTATE", token)
    assert events.heard() == [(successor, "new"), (token, "sessiongate.rotate"),
                              (successor, "sessiongate.rotate")]
    last = sg(r, "ROTATE", successor, "GRACE", 60)
    assert events.heard() == [(last, "new"), (successor, "new"), (successor, "sessiongate.rotate"),
                              (last, "sessiongate.rotate")]


def test_a_change_through_a_rotated_token_is_an_event_of_its_successor(r, events, token):
    successor = sg(r, "ROTATE", token, "GRACE", 60)
    events.heard()
    pset(r, token, b"n", b"x")
    assert events.heard() == [(successor, "sessiongate.pset")]
    end(r, token)
    assert events.heard() == [(successor, "sessiongate.end")]


QUIET = {
    "reads": [("PGET", b"n"), ("PMGET", b"n", b"absent"), ("PGETALL",), ("PTTL", b"n"), ("TTL",),
              ("INFO",)],
    "conditions that do not hold": [("PSET", b"n", b"x", b"NX"), ("PSET", b"m", b"x", b"XX"),
                                    ("PSET", b"n", b"x", b"IFEQ", b"other"),
                                    ("PDEL", b"n", b"IFEQ", b"other"),
                                    ("PDEL", b"absent", b"IFEQ", b"d")],
    "a refresh that is not due": [("TOUCH", b"MINAGE", 60)],
    "wrong arguments": [("PSET", b"", b"x"), ("PMSET", b"n", b"x", b"m", b""), ("EXPIRE", -1),
                        ("TOUCH", b"MINAGE", b"x"), ("ROTATE", b"GRACE", 301), ("ADOPT", -1)],
    "absent payloads": [("PDEL", b"absent"), ("PPOP", b"absent"), ("PGET", b"absent"),
                        ("PTTL", b"absent")],
    "a token that is busy": [("ADOPT", 60), ("ADOPT", 0)],
}


@pytest.mark.parametrize("why", QUIET)
def test_a_call_that_changes_nothing_publishes_nothing(r, events, token, why):
    for command, *arguments in QUIET[why]:
        with contextlib.suppress(Exception):
            sg(r, command, token, *arguments)
        assert events.heard() == [], command


def test_a_refused_token_publishes_nothing(r, events, token):
    absent = signed()
    for calls in CHANGES.values():
        for command, *arguments in calls:
            for sign_key, each in ((OTHER_KEY, token), (KEY, token[:-1]), (KEY, absent)):
                with pytest.raises(Exception):
                    sg(r, command, each, *arguments, sign_key=sign_key)
    assert events.heard() == []


def test_what_stores_nothing_publishes_nothing(r, events, token):
    sg(r, "START", 0)
    sg(r, "ADOPT", signed(), 0)
    successor = sg(r, "ROTATE", token, "GRACE", 60)
    events.heard()
    assert sg(r, "ROTATE", token, "GRACE", 60) == successor
    assert events.heard() == []


def test_a_cache_of_a_rotated_token_hears_only_of_what_is_changed_through_it(server, r, token):
    successor = sg(r, "ROTATE", token, "GRACE", 60)
    with server.wire(protocol=3) as wire:
        wire.call("CLIENT", "TRACKING", "ON")
        for changed, hears in ((successor, False), (token, True)):
            wire.call("SESSIONGATE.PGETALL", KEY, token)
            pset(r, changed, b"n", b"x")
            assert (pushes(wire) == [[b"invalidate", [token]]]) == hears


@pytest.mark.parametrize("change", [
    ("PSET", b"n", b"x"), ("PMSET", b"n", b"x"), ("PDEL", b"n"), ("PPOP", b"n"), ("EXPIRE", 99),
    ("TOUCH",), ("END",), ("EXPIRE", 0), ("ROTATE",)], ids=lambda call: " ".join(map(str, call)))
def test_a_cache_on_a_replica_hears_what_one_on_the_master_hears(server, r, replica_of, change):
    """Of the session, and of each rotated token that the change came through."""
    way = [sg(r, "START", 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d")]
    for _ in range(2):
        way.append(sg(r, "ROTATE", way[-1], "GRACE", 60))
    r.pexpire(way[-1], 100_000)
    replica = replica_of(server)
    with server.wire(protocol=3) as master, replica.wire(protocol=3) as theirs:
        for wire in (master, theirs):
            wire.call("CLIENT", "TRACKING", "ON")
            for token in way:
                wire.call("SESSIONGATE.PGETALL", KEY, token)
        command, *rest = change
        sg(r, command, way[0], *rest)
        replica.wait_synced()

        def told(wire):
            return {token for _, [token] in pushes(wire)}
        assert told(theirs) == told(master) >= set(way)


def test_a_command_in_a_transaction_or_a_script_publishes_as_by_itself(r, events, token):
    with r.pipeline() as pipeline:
        pset(pipeline, token, b"n", b"1")
        pset(pipeline, token, b"n", b"2")
        pipeline.execute()
    assert events.heard() == [(token, "sessiongate.pset")] * 2
    r.eval("return redis.call('SESSIONGATE.EXPIRE', ARGV[1], KEYS[1], 50)", 1, token, KEY)
    assert events.heard() == [(token, "sessiongate.expire")]


def test_without_the_class_of_modules_only_the_server_publishes(server, r):
    with Listener(server, "Kg") as events:
        token = start(r)
        pset(r, token, b"n", b"d")
        expire(r, token, 50)
        r.unlink(token)
        assert events.heard() == [(token, "del")]


def test_expiry_eviction_and_deletion_are_the_servers_own_events(server, r, events, token):
    r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    r.pexpire(token, 1)
    wait_for(lambda: not r.exists(token), what="the session over")
    assert [event for _, event in events.heard()] == ["expire", "expired"]
    other = start(r)
    r.delete(other)
    assert events.heard()[-1] == (other, "del")
    evicted = start(r)
    events.heard()
    r.config_set("maxmemory-policy", "allkeys-random")
    r.config_set("maxmemory", 1)
    wait_for(lambda: r.dbsize() == 0, what="the session evicted")
    r.config_set("maxmemory", 0)
    assert events.heard() == [(evicted, "evicted")]


def test_a_replica_publishes_the_servers_own_events_only(server, r, replica_of):
    replica = replica_of(server)
    with Listener(replica) as events:
        def heard():
            replica.wait_synced()
            return events.heard()
        token = start(r, KEY, 1000)
        assert heard() == [(token, "new")]
        pset(r, token, b"n", b"d")
        expire(r, token, 500)
        assert heard() == []
        r.pexpire(token, 10_000)
        heard()
        sg(r, "TOUCH", token)
        assert heard() == []
        successor = sg(r, "ROTATE", token, "GRACE", 60)
        assert heard() == [(successor, "new"), (token, "new")]
        end(r, token)
        assert heard() == []


def test_the_table_lists_the_events():
    events = section("docs/operations.md", "Keyspace events")
    listed = {name for row in re.findall(r"^\| (.*) \|", events, re.M)
              for name in re.findall(r"`sessiongate\.(\w+)`", row)}
    assert listed == {*CHANGES, "start", "adopt", "rotate", "ostart"}


def test_the_subscription_of_the_page_hears_of_starts_and_expiries(server, r):
    events = section("docs/operations.md", "Keyspace events")
    lines = re.search(r"```sh\n(.*?)```", events, re.S)[1].splitlines()
    assert r.execute_command(*lines[0].split(" ")[1:]) == b"OK"
    with server.wire() as wire:
        patterns = re.findall(r"'(.*?)'", lines[1])
        for pattern in patterns:
            wire.call("PSUBSCRIBE", pattern)
        token = start(r)
        assert wire.read()[2:] == [b"__keyevent@0__:sessiongate.start", token]
        r.pexpire(token, 1)
        wait_for(lambda: not r.exists(token), what="the session over")
        assert wire.read()[2:] == [b"__keyevent@0__:expired", token]
