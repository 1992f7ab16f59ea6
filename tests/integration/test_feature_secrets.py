"""No sign key shows anywhere, whichever of the newer commands it was given to; NEWKEY's neither."""

import secrets

import pytest

from features import sg, signed_v2
from harness import Stream, Wire, signed


@pytest.fixture
def keys():
    """Two sign keys that nothing else holds by chance."""
    return [b"%s-key-%s" % (which, secrets.token_hex(16).encode()) for which in (b"old", b"new")]


def calls(key, new_key, token, ended):
    """Calls of each command that succeed and that fail, for each reason; there is payload n."""
    yield "START", key, 60, "MAXTTL", 5, "FORMAT", "v2", "PAYLOADS", 1, b"n", b"d"
    yield "START", key, 60, "MAXTTL", 0
    yield "START", key, 60, "PAYLOADS", 1, b"", b"d"
    yield "START", key, 60, key, new_key
    yield "ADOPT", key, signed(key), 60, "PAYLOADS", 1, b"n", b"d"
    yield "ADOPT", key, signed(key), 60
    yield "ADOPT", key, signed_v2(key), 0, "MAXTTL"
    for command, *rest in (
            ("PGETALL",), ("PMGET", b"n", b"m"), ("PMSET", b"n", b"d", b"m", b"d" * 100_000),
            ("PPOP", b"m"),
            ("TTL",), ("INFO",), ("TOUCH",), ("TOUCH", "MINAGE", 60), ("PSET", b"n", b"d", b"XX"),
            ("PSET", b"n", b"d", b"NX"), ("ADOPT", 60), ("ROTATE", "GRACE", 301),
            ("ROTATE", "NEWKEY"),
            ("ROTATE", "NEWKEY", new_key, "NEWKEY", new_key), ("ROTATE", "NEWKEY", new_key, "x"),
            ("PMSET", b"", b"d"), ("PMGET", b""), ("TOUCH", "x")):
        for their_key, their_token in ((key, token), (new_key, token), (key, ended),
                                       (key, token[:-1]), (key, b""), (b"", token)):
            yield command, their_key, their_token, *rest
    yield "ROTATE", new_key, token, "NEWKEY", new_key
    yield "ROTATE", key, ended, "NEWKEY", new_key
    yield "ROTATE", key, ended, new_key, key
    yield "PPOP", key, token, b"absent"


def make_all_calls(server, key, new_key):
    """Make them alone, in a transaction and through an alias. Returns all replies."""
    replies = []
    with server.wire() as wire:
        def call(command, *arguments):
            replies.append(wire.call("SESSIONGATE." + command, *arguments))
            return replies[-1]
        ended = call("START", key, 60)
        call("END", key, ended)
        for grace in (60, 0):
            token = call("START", key, 60, "PAYLOADS", 1, b"n", b"d")
            if grace:
                for each in calls(key, new_key, token, ended):
                    call(*each)
            replies.append(wire.call("MULTI"))
            for each in calls(key, new_key, token, ended):
                call(*each)
            replies.append(wire.call("EXEC"))
            new = call("ROTATE", key, token, "NEWKEY", new_key, "GRACE", grace)
            assert isinstance(new, bytes)
            for each in calls(key, new_key, token, ended):
                call(*each)
            call("PGETALL", new_key, new)
            call("ROTATE", new_key, new, "NEWKEY", key, "GRACE", 300, "TTL", 100, "MAXTTL", 200)
            call("ROTATE", new_key, new, "NEWKEY", new_key)
    return replies


def check(where, keys, seen):
    text = seen if isinstance(seen, bytes) else repr(seen).encode()
    for key in keys:
        assert key not in text, f"a sign key shows in {where}"


def until(wire, last):
    """All that the connection gets, up to a message that has `last` in it."""
    seen = []
    while not seen or last not in repr(seen[-1]):
        seen.append(wire.read())
    return seen


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_no_sign_key_shows_anywhere(make_server, replica_of, keys, preamble):
    server = make_server(
        appendonly="yes", appendfsync="always", aof_use_rdb_preamble=preamble, loglevel="debug",
        slowlog_log_slower_than=0, slowlog_max_len=100_000, latency_monitor_threshold=1,
        latency_tracking="yes", notify_keyspace_events="KEA")
    r = server.client()
    has_commandlog = server.valkey and server.program_version >= (8, 1)
    if has_commandlog:
        for kind in ("execution-slower-than", "request-larger-than", "reply-larger-than"):
            r.config_set(f"commandlog-{kind}", 0)
    replica = replica_of(server, appendonly="yes", loglevel="debug")
    with server.wire() as monitor, server.wire() as listener, Stream(server) as stream:
        assert monitor.call("MONITOR") == "OK"
        listener.call("PSUBSCRIBE", "*")
        replies = make_all_calls(server, *keys)
        assert sum(isinstance(reply, Wire.Error) for reply in replies) > 100
        assert sum(reply == "OK" for reply in replies) > 10
        check("a reply", keys, replies)
        stream.commands()
        check("the replication stream", keys, bytes(stream.bytes))
        assert b"SGRO" in stream.bytes
        r.set("the last command", "x")
        check("MONITOR", keys, until(monitor, "the last command"))
        check("keyspace events", keys, until(listener, "the last command"))
    with server.wire() as wire:
        slowlog = wire.call("SLOWLOG", "GET", -1)
        assert "the last command" in repr(slowlog)
        check("SLOWLOG", keys, slowlog)
        for kind in ("slow", "large-request", "large-reply") if has_commandlog else ():
            check(f"COMMANDLOG {kind}", keys, wire.call("COMMANDLOG", "GET", -1, kind))
        for command in (("INFO", "everything"), ("ACL", "LOG"), ("LATENCY", "LATEST"),
                        ("CLIENT", "LIST"), ("CONFIG", "GET", "*")):
            check(command[0], keys, wire.call(*command))
    r.bgrewriteaof()
    server.wait_saved()
    r.save()
    replica.wait_synced()
    replica.client().save()
    for each in (server, replica):
        files = [file for file in each.directory.rglob("*") if file.is_file()]
        assert {"dump.rdb", "log"} <= {file.name for file in files}
        for file in files:
            check(file, keys, file.read_bytes())


def test_no_error_repeats_what_was_sent(server, r, keys):
    token = sg(r, "START", 60, sign_key=keys[0])
    with server.wire() as wire:
        for command, *arguments in calls(*keys, token, signed(keys[0])):
            reply = wire.call("SESSIONGATE." + command, *arguments)
            if isinstance(reply, Wire.Error):
                for argument in arguments:
                    assert not isinstance(argument, bytes) or len(argument) < 5 or \
                        argument not in reply.encode()
