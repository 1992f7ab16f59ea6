"""Memory: what ended sessions give back, what a full server refuses, and what eviction takes.

used_memory is what the server asked of its allocator, so a leak shows to the byte.
"""

import pytest

from features import sg
from harness import (KEY, Stream, end, error_code, expire, pdel, pget, pset, start, wait_for)

SESSIONS = 100_000
LEAK = 1  # bytes a session, that the tests would see: less than any allocation


def used_memory(client):
    return client.info("memory")["used_memory"]


# Given back --------------------------------------------------------------------------------------

def live_simply(wire, sessions):
    tokens = wire.pipeline([("SESSIONGATE.START", KEY, 5000)] * sessions)
    wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"user", b"jane") for token in tokens)
    return tokens


def live(wire, sessions):
    """Starts so many sessions and lets them lead a life that allocates and frees in every way."""
    tokens = wire.pipeline([("SESSIONGATE.START", KEY, 5000)] * sessions)
    for commands in (
            (("PSET", KEY, token, b"user", b"jane" * 8) for token in tokens),
            (("PSET", KEY, token, b"cart", b"apples") for token in tokens),
            (("PSET", KEY, token, b"cart", b"apples and pears" * 20) for token in tokens),
            (("PSET", KEY, token, b"user", b"j") for token in tokens),
            (("PDEL", KEY, token, b"cart") for token in tokens[::2]),
            (("EXPIRE", KEY, token, 4000) for token in tokens[::3]),
            # Refused calls, which must leave nothing either.
            (("PSET", KEY, token, b"", b"") for token in tokens[::5]),
            (("PDEL", KEY, token, b"absent") for token in tokens[::5]),
            (("PGET", b"wrong", token, b"user") for token in tokens[::5]),
            # More payloads than one block holds, and fewer again: a table grows and shrinks.
            (("PSET", KEY, token, b"n%d" % i, b"d") for token in tokens[::100] for i in range(40)),
            (("PDEL", KEY, token, b"n%d" % i) for token in tokens[::100] for i in range(35)),
            # Lives, in a block and in a table: long ones, none, and ones that are soon over.
            (("PSET", KEY, token, b"code", b"123456", "EX", 300) for token in tokens[::7]),
            (("PSET", KEY, token, b"code", b"123456") for token in tokens[::14]),
            (("PSET", KEY, token, b"m%d" % i, b"d", "EX", 300)
             for token in tokens[::100] for i in range(40)),
            (("PSET", KEY, token, b"m%d" % i, b"d" * i, "PX", 1)
             for token in tokens[::100] for i in range(1, 30)),
            (("PSET", KEY, token, b"code", b"123456", "PX", 1) for token in tokens[::21]),
            (("PDEL", KEY, token, b"m39", "IFEQ", b"d") for token in tokens[::100])):
        wire.pipeline(("SESSIONGATE." + command, *arguments) for command, *arguments in commands)
    # A rotated token and an alias of it each, for some.
    for at, successor in zip(range(0, len(tokens), 10), wire.pipeline(
            ("SESSIONGATE.ROTATE", KEY, token, "GRACE", 300) for token in tokens[::10])):
        tokens[at] = successor
    return tokens


def end_each(wire, tokens):
    assert set(wire.pipeline(("SESSIONGATE.END", KEY, token) for token in tokens)) == {"OK"}


def end_through_alias(wire, tokens):
    """ROTATE with an alias, then END of both through the old token."""
    wire.pipeline(("SESSIONGATE.ROTATE", KEY, token, "GRACE", 300) for token in tokens)
    end_each(wire, tokens)


def expire_now(wire, tokens):
    assert set(wire.pipeline(("SESSIONGATE.EXPIRE", KEY, token, 0) for token in tokens)) == {"OK"}


def run_out(wire, tokens):
    wire.pipeline(("PEXPIRE", token, 1) for token in tokens)


def flush(how):
    return lambda wire, tokens: wire.call("FLUSHALL", how)


def reload_and_flush(wire, tokens):
    assert wire.call("DEBUG", "RELOAD") == "OK"
    wire.call("FLUSHALL")


def copy_and_flush(wire, tokens):
    wire.pipeline(("COPY", token, b"copy of " + token) for token in tokens)
    wire.call("FLUSHALL")


WAYS = {"END": end_each, "END through the rotated token": end_through_alias, "EXPIRE 0": expire_now,
        "expiry": run_out, "FLUSHALL SYNC": flush("SYNC"), "FLUSHALL ASYNC": flush("ASYNC"),
        "a reload": reload_and_flush, "COPY": copy_and_flush}


def gives_back(server, way, sessions, life=live):
    """Used memory is as before, after a first time that has let the server's own tables grow."""
    client = server.client()
    client.config_set("slowlog-log-slower-than", -1)

    def emptied():
        return client.dbsize() == 0 and client.info("memory")["lazyfree_pending_objects"] == 0

    def run():
        with server.wire() as wire:
            WAYS[way](wire, life(wire, sessions))
            # Old tokens may be left for their grace.
            wire.call("FLUSHALL")
        wait_for(emptied, 30, "no key, and nothing left to free")
        return used_memory(client)
    run()
    base = settled(client)
    run()
    over = 0

    def back():
        nonlocal over
        over = used_memory(client) - base
        return over < sessions * LEAK
    wait_for(back, 20, f"used_memory back within {sessions * LEAK} bytes")
    print(f"{way}: {sessions} sessions, used_memory {base} before, {over:+} after")


def settled(client):
    """used_memory when it has stopped falling: the server shrinks its tables little by little."""
    seen = []

    def steady():
        seen.append(used_memory(client))
        return len(seen) >= 30 and min(seen[-20:]) >= min(seen[:-20])
    wait_for(steady, 20, "used_memory no longer falls")
    return max(seen[-20:])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["END", "FLUSHALL ASYNC"])
def test_100000_sessions_give_all_their_memory_back(server, way):
    gives_back(server, way, SESSIONS, live_simply)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_sessions_of_a_full_life_give_all_their_memory_back(server, way):
    gives_back(server, way, SESSIONS // 33)


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS)
def test_100000_sessions_of_a_full_life_give_all_their_memory_back(server, way):
    gives_back(server, way, SESSIONS)


@pytest.mark.parametrize("lasting", [0, 2, 30], ids="beside {}".format)
def test_memory_is_as_before_when_payloads_with_lives_came_and_went(r, lasting):
    """To the byte from the second time on: the table that the first one may have made stays."""
    token = start(r, KEY, 5000)
    for n in range(lasting):
        pset(r, token, b"%d" % n, b"d" * 50)
    usages = [r.memory_usage(token, samples=0)]

    def come_and_go(payloads):
        with r.pipeline(transaction=True) as transaction:
            for n in range(payloads):
                sg(transaction, "PSET", token, b"short %d" % n, b"d" * 50, "PX", 100)
            transaction.execute()
        assert r.memory_usage(token, samples=0) > usages[0] + payloads * 50
        last = b"short %d" % (payloads - 1)
        wait_for(lambda: error_code(sg, r, "PTTL", token, last), 10, "they are over")
        expire(r, token, 5000)
        usages.append(r.memory_usage(token, samples=0))
    for _ in range(4):
        come_and_go(40)
    assert len(set(usages[1:])) == 1
    assert usages[1] <= usages[0] + 1000 and (lasting > 0 or usages[1] == usages[0])


@pytest.mark.slow
def test_a_session_of_100000_payloads_is_ended_at_once_and_freed_in_the_background(make_server,
                                                                                   replica_of):
    master = make_server(lazyfree_lazy_user_del="no")
    replica = replica_of(master)
    r = master.client()
    token = start(r)
    with master.wire() as wire:
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"%d" % i, b"data") for i in range(100_000))
        assert r.memory_usage(token, samples=0) > 100_000 * len(b"data")
        replica.wait_synced()
        assert replica.sessions() == master.sessions()
        full = used_memory(r)
        freed = r.info("memory")["lazyfreed_objects"]
        with Stream(master) as stream:
            stream.commands()
            assert wire.call("SESSIONGATE.END", KEY, token) == "OK"
            assert stream.commands() == [[b"SGEN", token]]
    assert error_code(pget, r, token, b"1") == "NOSESSION"
    for server in (master, replica):
        server.client()
        wait_for(lambda: server.client().dbsize() == 0, 10, "the session gone")
        wait_for(lambda: server.info("memory")["lazyfree_pending_objects"] == 0, 10, "all freed")
        assert server.info("memory")["lazyfreed_objects"] > 0
    assert r.info("memory")["lazyfreed_objects"] > freed
    assert full - used_memory(r) > 100_000 * 25  # bytes: a payload and what holds it


# Full --------------------------------------------------------------------------------------------

@pytest.fixture
def full(r):
    """A session with a payload "n", on a server that may take no more memory."""
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"data")
    r.config_set("maxmemory-policy", "noeviction")
    r.config_set("maxmemory", 1)
    return token


def test_a_full_server_refuses_what_stores(r, server, full):
    with Stream(server) as stream:
        stream.commands()
        before = r.dump(full), r.execute_command("PEXPIRETIME", full)
        for call in ("START", KEY, 60), ("START", KEY, 60, "PAYLOADS", 1, "n", "d"), \
                ("PSET", KEY, full, b"n", b"other"), \
                ("PMSET", KEY, full, b"n", b"other", b"m", b"d"), ("ROTATE", KEY, full):
            name, *arguments = call
            assert error_code(r.execute_command, "SESSIONGATE." + name, *arguments) == "OOM"
        with r.pipeline(transaction=True) as pipeline:
            pset(pipeline, full, b"n", b"other")
            replies = pipeline.execute
            assert error_code(replies) in ("OOM", "EXECABORT")
        script = "return redis.call('SESSIONGATE.PSET', ARGV[1], KEYS[1], 'n', 'other')"
        assert error_code(r.eval, script, 1, full, KEY) == "OOM"
        assert stream.commands() == []
        assert (r.dump(full), r.execute_command("PEXPIRETIME", full)) == before
        assert r.dbsize() == 1


def test_a_full_server_still_reads_shortens_and_ends(r, full):
    assert pget(r, full, b"n") == b"data"
    assert expire(r, full, 30) == b"OK"
    assert 0 < r.ttl(full) <= 30
    assert pdel(r, full, b"n") == b"OK"
    assert error_code(pget, r, full, b"n") == "NOPAYLOAD"
    assert end(r, full) == b"OK"
    assert r.dbsize() == 0


def test_a_full_replica_that_minds_its_limit_still_applies_all_effects(server, replica_of):
    r = server.client()
    replica = replica_of(server, replica_ignore_maxmemory="no", maxmemory=1,
                         maxmemory_policy="noeviction")
    with server.wire() as wire:
        tokens = live(wire, 300)
    end(r, tokens[0])
    pset(r, tokens[1], b"last", b"data")
    replica.wait_synced()
    assert len(server.sessions()) >= 299
    assert replica.sessions() == server.sessions()
    assert "sending an error to its master" not in replica.log()


# Evicted -----------------------------------------------------------------------------------------

def fill(wire, sessions, ttl):
    """Starts so many sessions of three payloads and some 1200 bytes, each with a longer ttl."""
    tokens = wire.pipeline(("SESSIONGATE.START", KEY, ttl + number) for number in range(sessions))
    for name in PAYLOADS:
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, token + b"." * 316)
                      for token in tokens)
    return tokens


PAYLOADS = (b"user", b"cart", b"csrf")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_eviction_takes_whole_sessions_and_replicates_it(server, replica_of, policy):
    r = server.client()
    replica = replica_of(server)
    r.config_resetstat()
    with server.wire() as wire:
        tokens = fill(wire, 2000, 1000)
        r.config_set("maxmemory-policy", policy)
        r.config_set("maxmemory", used_memory(r))
        tokens += fill(wire, 2000, 3000)
        r.config_set("maxmemory", 0)  # or whatever is called below would evict more
        alive = set(r.keys())
        kept = [token for token in tokens if token in alive]
        lost = [token for token in tokens if token not in alive]
        assert len(lost) == r.info("stats")["evicted_keys"] > 0
        for name in PAYLOADS:
            assert wire.pipeline(("SESSIONGATE.PGET", KEY, token, name) for token in kept) == \
                [token + b"." * 316 for token in kept]
        for name, *arguments in ("PGET", b"user"), ("PSET", b"user", b"d"), ("PDEL", b"user"), \
                ("EXPIRE", 60), ("END",):
            replies = wire.pipeline(("SESSIONGATE." + name, KEY, token, *arguments)
                                    for token in lost)
            assert {reply.code for reply in replies} == {"NOSESSION"}
    replica.wait_synced()
    assert set(r.keys()) == alive
    assert replica.sessions() == server.sessions()
    if policy == "volatile-ttl":  # the first ones had the shorter lives left
        of_first = sum(token not in alive for token in tokens[:2000])
        assert of_first > len(lost) / 2
