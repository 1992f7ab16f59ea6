"""Eviction of owners' lists and sessions: "all are ended" must not miss one that lost its list."""

import pytest

from features import OWNER, olist, ostart, sg
from harness import KEY, Stream, expire, wait_for

OWNERS = 600
AOF = {"appendonly": "yes", "appendfsync": "no", "auto_aof_rewrite_percentage": 0}

POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
            "volatile-random", "volatile-ttl"]


def fill(wire, ttl=1000):
    """One to four sessions for each owner; {label: tokens}."""
    calls = [("SESSIONGATE.OSTART", KEY, label, ttl, "PAYLOADS", 1, b"n", label * 20)
             for n in range(OWNERS) for label in [b"owner:%d" % n] for _ in range(1 + n % 4)]
    held = {}
    for call, token in zip(calls, wire.pipeline(calls)):
        held.setdefault(call[2], []).append(token)
    return held


def evict(r, policy, share):
    """Let the server evict until so much of its keys is left."""
    r.config_set("maxmemory-policy", policy)
    limit, goal = r.info("memory")["used_memory"], share * r.dbsize()
    while r.dbsize() > goal:
        limit -= 10_000
        r.config_set("maxmemory", limit)
    r.config_set("maxmemory", 0)  # or whatever is called below would evict more


def orphans(server, held):
    """Sessions that live on although their owner has no list."""
    keys = set(server.client().keys())
    return [token for label, tokens in held.items() for token in tokens
            if token in keys and label not in keys]


def check(server, held):
    """No orphan, and "end all" of all leaves no session."""
    assert orphans(server, held) == []
    with server.wire() as wire:
        living = [len(tokens) for tokens in wire.pipeline(
            ("SESSIONGATE.OLIST", KEY, label) for label in held)]
        keys = server.client().keys()
        assert sum(living) == sum(key.startswith(b"v2.") for key in keys)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_eviction_leaves_no_session_without_its_list(make_server, replica_of, policy):
    """On the master, on its replica, and in both AOFs."""
    server = make_server(**AOF)
    replica = replica_of(server, **AOF)
    r = server.client()
    with server.wire() as wire:
        held = fill(wire)
        evict(r, policy, 0.6)
        left = held.keys() & set(r.keys())
        # By their TTL sessions are evicted before their lists.
        assert 0 < len(left) < OWNERS or policy == "volatile-ttl"
        check(server, held)
        before = server.sessions()
        replica.wait_synced()
        assert replica.sessions() == before
        replica.wait_saved()  # its AOF begins with a rewrite
        for each in (server, replica):
            each.kill9()
        for each in (server, replica):
            each.start()
            assert each.sessions() == before
            check(each, held)
    with server.wire() as wire:
        wire.pipeline(("SESSIONGATE.OEND", KEY, label) for label in held)
    assert server.client().dbsize() == 0


def test_an_evicted_list_ends_its_sessions_by_one_effect(server, r):
    tokens = [ostart(r) for _ in range(3)]
    for token in tokens:
        r.persist(token)
    with Stream(server) as stream:
        stream.commands()
        r.config_set("maxmemory-policy", "volatile-lru")  # the list alone can be evicted
        r.config_set("maxmemory", 1)
        wait_for(lambda: r.dbsize() == 0, what="the list evicted")
        r.config_set("maxmemory", 0)
        sent = [command for command in stream.commands() if command[0] not in (b"MULTI", b"EXEC")]
    assert [b"SGOE", OWNER, b"0", b"", b"3", *tokens] in sent
    assert [command[1] for command in sent if command[0].upper() in (b"DEL", b"UNLINK")] == [OWNER]
    assert len(sent) == 2


def test_an_evicted_list_takes_only_sessions_that_name_its_owner(server, r):
    """And neither aliases nor what else is under its tokens."""
    mine, renamed, string, nobodys = [ostart(r) for _ in range(4)]
    other = ostart(r, owner=b"{owner:42}x")
    for token in (renamed, string, nobodys):
        r.delete(token)
    r.rename(other, renamed)
    r.set(string, "x")
    sg(r, "ADOPT", nobodys, 60)
    for key in (mine, renamed, nobodys, b"{owner:42}x"):
        r.persist(key)
    r.config_set("maxmemory-policy", "volatile-lru")
    r.config_set("maxmemory", 1)
    wait_for(lambda: not r.exists(OWNER), what="the list evicted")
    r.config_set("maxmemory", 0)
    assert set(r.keys()) == {renamed, string, nobodys, b"{owner:42}x"}


def test_an_evicted_list_ends_the_sessions_of_its_own_database_only(server, r):
    token = ostart(r)
    other = server.client(db=1)
    r.copy(OWNER, OWNER, destination_db=1)
    r.copy(token, token, destination_db=1)
    for key in (OWNER, token):
        r.persist(key)
    other.persist(token)
    r.config_set("maxmemory-policy", "volatile-lru")
    r.config_set("maxmemory", 1)
    wait_for(lambda: other.dbsize() == 0, what="the list evicted")
    r.config_set("maxmemory", 0)
    assert olist(r) == [token]


def test_a_list_that_is_deleted_or_expires_ends_nobody(server, r):
    tokens = [ostart(r) for _ in range(2)]
    r.delete(OWNER)
    assert r.exists(*tokens) == 2
    for token in tokens:
        expire(r, token, 100)
    r.pexpire(OWNER, 1)
    wait_for(lambda: not r.exists(OWNER), what="the list over")
    assert r.exists(*tokens) == 2


def test_an_evicted_session_leaves_the_others(server, r):
    tokens = [ostart(r) for _ in range(3)]
    r.persist(OWNER)
    r.persist(tokens[0])
    r.config_set("maxmemory-policy", "volatile-lru")
    r.config_set("maxmemory", 1)
    wait_for(lambda: r.dbsize() == 2, what="two sessions evicted")
    r.config_set("maxmemory", 0)
    assert olist(r) == [tokens[0]]
