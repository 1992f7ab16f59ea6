"""A sign key shows nowhere: not on disk, not to a replica, not to who looks at the server."""

import secrets

import pytest

from harness import (KEY, Stream, Wire, is_internal, is_token, signed, start, wait_for,
                     wait_linked)


@pytest.fixture
def sign_key():
    """A key that nothing else holds by chance."""
    return b"sign-key-" + secrets.token_hex(16).encode()


# The commands on a token, with right arguments behind it.
ON_A_TOKEN = {
    "PSET": (b"n", b"d"), "PMSET": (b"n", b"d"), "PGET": (b"n",), "PMGET": (b"n",), "PGETALL": (),
    "TTL": (), "INFO": (), "TOUCH": (), "EXPIRE": (60,), "PDEL": (b"n",), "PPOP": (b"n",),
    "PTTL": (b"n",), "ROTATE": (), "ADOPT": (60,), "END": ()}


def every_call(sign_key, other_key, token, ended):
    """Calls of each command that succeed and that fail, for each reason. The session lives on."""
    yield ("START", sign_key, 60)
    yield ("START", sign_key, 0)
    yield ("START", sign_key, b"x")
    yield ("START", sign_key)
    yield ("START", sign_key, 60, b"x")
    yield ("START", sign_key, 60, b"MAXTTL", 99, b"FORMAT", b"v2", b"PAYLOADS", 1, b"n", b"d")
    for command, rest in ON_A_TOKEN.items():
        for theirs in (ended, b"", b"v1.malformed", token[:-1], token + b"0"):
            if command != "ADOPT" or theirs != ended:
                yield (command, sign_key, theirs, *rest)
        yield (command, other_key, token, *rest)
        yield (command, sign_key)
        yield (command, sign_key, token, *rest, b"x")
        for position in range(len(rest)):
            yield (command, sign_key, token, *rest[:position], b"", *rest[position + 1:])
        if command not in ("END", "ROTATE"):
            yield (command, sign_key, token, *rest)
    yield ("PDEL", sign_key, token, b"absent")
    yield ("PDEL", sign_key, token, b"n", b"IFEQ", b"other data")
    yield ("PSET", sign_key, token, b"n", b"d", b"IFEQ", b"other data", b"PX", 1)
    yield ("PSET", sign_key, token, b"short", b"d", b"NX", b"PX", 1)
    yield ("PSET", sign_key, token, b"n", b"d", b"EX", b"x")
    yield ("PGET", sign_key, token, b"absent")
    yield ("PSET", sign_key, token, b"n" * 201, b"d")
    yield ("PSET", sign_key, token, b"n", b"d" * 100_000)
    yield ("PGET", sign_key, token, b"n")
    yield ("EXPIRE", sign_key, token, -1)
    yield ("ROTATE", sign_key, token, b"NEWKEY", b"")
    yield ("ROTATE", sign_key, token, b"NEWKEY", other_key, b"GRACE", b"x")
    yield ("TOUCH", sign_key, token, b"MINAGE", b"x")
    yield ("OSTART", sign_key, b"owner", 60)
    yield ("OSTART", sign_key, b"owner", 60, b"LIMIT", 1, b"PAYLOADS", 1, b"n", b"d")
    yield ("OSTART", sign_key, b"", 60)
    yield ("OLIST", sign_key, b"owner")
    yield ("OLIST", other_key, b"owner")
    yield ("OEND", sign_key, b"owner", b"KEEP", token)
    yield ("OEND", sign_key, b"owner", b"KEEP", sign_key)
    yield ("OEND", sign_key, b"owner")


def test_all_commands_are_called_here(r):
    commands = r.execute_command("COMMAND LIST", "FILTERBY", "MODULE", "sessiongate")
    assert {name.upper().decode() for name in commands if not is_internal(name)} == {
        "SESSIONGATE." + name for name in ("START", *ON_A_TOKEN, "OSTART", "OLIST", "OEND")}


def make_every_call(server, sign_key, other_key):
    """Make them all, alone and in transactions. Returns the replies."""
    replies = []
    with server.wire() as wire:
        def call(command, *arguments):
            replies.append(wire.call("SESSIONGATE." + command, *arguments))
            return replies[-1]
        ended = call("START", sign_key, 60)
        call("END", sign_key, ended)
        token = call("START", sign_key, 60)
        calls = list(every_call(sign_key, other_key, token, ended))
        for each in calls:
            call(*each)
        for each in calls:
            replies.append(wire.call("MULTI"))
            call(*each)
            replies.append(wire.call("EXEC"))
        token = call("ROTATE", sign_key, token, b"NEWKEY", other_key, b"GRACE", 300)
        assert is_token(token, other_key)
        signed_here = signed(sign_key, secrets.token_hex(8).encode())
        assert call("ADOPT", sign_key, signed_here, 60) == "OK"
        assert call("ROTATE", sign_key, signed_here).startswith(b"v1.")
        call("EXPIRE", other_key, token, 0)
    return replies


def check(found_in, secret_keys, text):
    if isinstance(text, str):
        text = text.encode()
    for secret in secret_keys:
        assert secret not in text, f"a sign key shows in {found_in}"
        assert secret.upper() not in text, f"a sign key shows in {found_in}"


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_the_sign_key_shows_nowhere(make_server, sign_key, preamble):
    other_key = b"other-" + sign_key[::-1]
    keys = sign_key, other_key
    server = make_server(
        appendonly="yes", appendfsync="always", aof_use_rdb_preamble=preamble, loglevel="debug",
        slowlog_log_slower_than=0, slowlog_max_len=100_000, latency_monitor_threshold=1,
        latency_tracking="yes", notify_keyspace_events="KEA")
    r = server.client()
    if server.valkey and server.program_version >= (8, 1):
        for kind in ("execution-slower-than", "request-larger-than", "reply-larger-than"):
            r.config_set(f"commandlog-{kind}", 0)
    replica = make_server(replicaof=f"127.0.0.1 {server.port}", appendonly="yes", loglevel="debug")
    wait_linked(replica)
    with server.wire() as monitor, server.wire() as listener, Stream(server) as stream:
        assert monitor.call("MONITOR") == "OK"
        listener.call("PSUBSCRIBE", "*")
        replies = make_every_call(server, sign_key, other_key)
        assert sum(isinstance(reply, Wire.Error) for reply in replies) > 40
        assert sum(isinstance(reply, bytes) and is_token(reply, sign_key) for reply in replies) >= 4
        check("a reply", keys, repr(replies))
        check("CLIENT LIST", keys, r.execute_command("CLIENT", "LIST"))
        stream.commands()
        check("the replication stream", keys, bytes(stream.bytes))
        check("the dump for a replica", keys, bytes(stream.dump))
        r.set("the last command", "x")
        check("MONITOR", keys, read_until(monitor, b"the last command"))
        check("the keyspace events", keys, read_until(listener, b"the last command"))
    with server.wire() as wire:
        slowlog = repr(wire.call("SLOWLOG", "GET", -1))
        assert "the last command" in slowlog
        check("SLOWLOG", keys, slowlog)
        if server.valkey and server.program_version >= (8, 1):
            for kind in ("slow", "large-request", "large-reply"):
                check(f"COMMANDLOG {kind}", keys, repr(wire.call("COMMANDLOG", "GET", -1, kind)))
        check("INFO", keys, repr(wire.call("INFO", "everything")))
        check("ACL LOG", keys, repr(wire.call("ACL", "LOG")))
        check("LATENCY", keys, repr(wire.call("LATENCY", "LATEST")))
        check("CONFIG", keys, repr(wire.call("CONFIG", "GET", "*")))
    r.bgrewriteaof()
    server.wait_saved()
    r.save()
    replica.wait_synced()
    replica.client().save()
    for each in (server, replica):
        files = [file for file in each.directory.rglob("*") if file.is_file()]
        assert {"dump.rdb", "log"} <= {file.name for file in files}
        assert any("aof" in file.name for file in files)
        for file in files:
            check(file, keys, file.read_bytes())


def read_until(wire, last):
    """What the connection gets, up to a message that has `last` in it."""
    seen = b""
    while last not in seen:
        seen += repr(wire.read()).encode() + b"\n"
    return seen


def test_the_acl_log_shows_no_sign_key(server, r, sign_key):
    token = start(r, sign_key, 60)
    r.acl_log_reset()
    r.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "-sessiongate.start",
                      "~none")
    with server.wire() as wire:
        wire.call("AUTH", "limited", "x")
        for call in every_call(sign_key, KEY, token, token):
            reply = wire.call("SESSIONGATE." + call[0], *call[1:])
            assert isinstance(reply, Wire.Error)
            assert sign_key.decode() not in reply
    log = repr(r.execute_command("ACL", "LOG"))
    assert "limited" in log
    check("ACL LOG", [sign_key], log)


@pytest.mark.parametrize("length", [32, 61, 84])
def test_a_sign_key_in_the_token_s_place_is_not_looked_up(server, r, length):
    """Listeners to missed keys would be told its name."""
    secret = (b"a sign key " * 10)[:length]
    token = start(r)
    r.config_set("notify-keyspace-events", "Em")
    with server.wire() as listener, server.wire() as wire:
        listener.call("PSUBSCRIBE", "*")
        for command, rest in ON_A_TOKEN.items():
            assert wire.call("SESSIONGATE." + command, token, secret, *rest).code == "BADTOKEN"
        wire.call("GET", signed())
        assert listener.read()[2:] == [b"__keyevent@0__:keymiss", signed()]


def test_the_error_of_a_refused_sentence_repeats_nothing_of_the_call(server, r, sign_key):
    token = start(r, sign_key, 60)
    with server.wire() as wire:
        for call in every_call(sign_key, KEY, token, token[:-1]):
            reply = wire.call("SESSIONGATE." + call[0], *call[1:])
            if isinstance(reply, Wire.Error):
                for argument in call[1:]:
                    if isinstance(argument, bytes) and len(argument) > 7:  # no option
                        assert argument.decode() not in reply




def test_the_acl_log_names_what_stands_in_the_place_of_the_token(server, r, sign_key):
    token = start(r, sign_key)
    r.acl_log_reset()
    r.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "~v1.*")
    with server.wire() as wire:
        wire.call("AUTH", "limited", "x")
        reply = wire.call("SESSIONGATE.PSET", token, sign_key, b"a name", b"the data")
    assert reply.code == "NOPERM"
    [entry] = r.acl_log()
    assert entry["object"] == sign_key.decode()
    assert "a name" not in repr(entry) and "the data" not in repr(entry)


@pytest.mark.parametrize("loglevel", ["notice", "verbose"])
@pytest.mark.parametrize("hide", ["no", "yes"])
def test_the_log_shows_a_request_that_breaks_the_protocol_at_verbose_unless_valkey_hides_it(
        make_server, sign_key, loglevel, hide):
    server = make_server(loglevel=loglevel)
    r = server.client()
    if r.config_get("hide-user-data-from-log"):
        assert r.config_get("hide-user-data-from-log")["hide-user-data-from-log"] == \
            ("yes" if server.valkey else "no"), "its default is not what the page says"
        r.config_set("hide-user-data-from-log", hide)
    elif hide == "yes":
        pytest.skip(f"{server.name} has no hide-user-data-from-log")
    token = start(r, sign_key)
    with server.wire() as wire:
        wire.socket.sendall(b"*3\r\n$15\r\nSESSIONGATE.TTL\r\n" + sign_key + b"\r\n" + token)
        assert wire.read().startswith("ERR Protocol error")
    shown = sign_key.decode() in server.log()
    assert shown == (loglevel == "verbose" and not (server.valkey and hide == "yes"))
    assert (token[:20].decode() in server.log()) == shown


def test_on_a_replica_monitor_and_the_slow_log_show_the_tokens_that_expired_and_no_others(
        make_server, replica_of):
    master = make_server()
    replica = replica_of(master, slowlog_log_slower_than=0, slowlog_max_len=100_000)
    r = master.client()
    with replica.wire() as monitor, replica.wire() as wire:
        assert monitor.call("MONITOR") == "OK"
        expired, changed, ended = start(r, KEY, 1), start(r, KEY, 60), start(r, KEY, 60)
        for command, token, *words in (("PSET", changed, "n", "d"), ("PDEL", changed, "n"),
                                       ("EXPIRE", changed, 50), ("TOUCH", changed), ("END", ended)):
            r.execute_command("SESSIONGATE." + command, KEY, token, *words)
        successor = r.execute_command("SESSIONGATE.ROTATE", KEY, changed, "GRACE", 60)
        wait_for(lambda: not r.exists(expired), 30, "the session expired")
        replica.wait_synced()
        r.set("the last command", "x")
        replica.wait_synced()
        for text in (read_until(monitor, b"the last command"),
                     repr(wire.call("SLOWLOG", "GET", -1)).encode()):
            assert expired in text
            assert not any(token in text for token in (changed, ended, successor))
