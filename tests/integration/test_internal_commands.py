"""The internal commands refuse every client, whatever state the server is in."""

import time

import pytest

from harness import (KEY, Wire, error_code, is_internal, pget, pset, signed, start, wait_for,
                     wait_linked)

TOKEN = signed(KEY, b"ForgedSession000")


def forged(token=TOKEN):
    """Each internal command, as the server itself would send it."""
    now = int(time.time() * 1000)
    other = signed(KEY, b"ForgedSuccessor0")
    yield ("SGST", token, now + 10**6, 1000)
    yield ("SGST", token, 0, 1000, now, 0, b"n", b"d")
    yield ("SGPS", token, b"n", b"d")
    yield ("SGPX", token, now + 10**6, b"n", b"d")
    yield ("SGSW", token, now + 10**6, 5, b"SGPS", token, b"n", b"d")
    yield ("SGPD", token, b"n")
    yield ("SGEX", token, now + 10**6, 1000)
    yield ("SGTO", token, now + 10**6)
    yield ("SGEN", token)
    yield ("SGPV", token, 1, other, b"n", b"d")
    yield ("SGOS", token, b"owner", now + 10**6, 1000, now, 0, now + 10**6, 0, 0)
    yield ("SGOX", token, b"owner", now + 10**6, 1000, now + 10**6)
    yield ("SGOR", token, other, b"owner", now + 10**6, 0, 1000, 0, now + 10**6)
    yield ("SGOE", b"owner", 0, b"", 1, token)
    yield ("SGOW", token, other)
    yield ("SESSIONGATE.PROBEREAD", token)
    yield ("SGRO", token, other, now + 10**6, 0, 1000, now + 10**6)
    yield ("SGLO", token, b"\0\0\0\1\1\1nd")
    yield ("SGAL", token, other)
    yield ("SESSIONGATE.PROBE", token)


def test_all_internal_commands_are_tried_here(r):
    commands = r.execute_command("COMMAND LIST", "FILTERBY", "MODULE", "sessiongate")
    assert {name.upper() for name in commands if is_internal(name)} == {
        call[0].encode() for call in forged()}


def check_refused(wire):
    """Each forged call is answered with an error, alone and in a transaction."""
    for call in forged():
        reply = wire.call(*call)
        assert isinstance(reply, Wire.Error), (call, reply)
        if wire.call("MULTI") == "OK":
            wire.call(*call)
            reply = wire.call("EXEC")
            assert isinstance(reply, Wire.Error) or isinstance(reply[0], Wire.Error), (call, reply)


def test_a_master_refuses_them(server, r):
    living = start(r)
    pset(r, living, b"n", b"d")
    before = server.sessions()
    with server.wire() as wire:
        check_refused(wire)
        for call in forged(living):
            assert wire.call(*call).code == "ERR", call
    assert server.sessions() == before


def test_a_wrong_number_of_arguments_is_refused_too(server, r):
    with server.wire() as wire:
        for name in {call[0] for call in forged()}:
            for count in range(8):
                reply = wire.call(name, *[TOKEN] * count)
                assert isinstance(reply, Wire.Error), (name, count, reply)
    assert r.dbsize() == 0


@pytest.mark.parametrize("how", ["EVAL", "FCALL"])
def test_a_script_and_a_function_are_refused_too(r, how):
    body = "redis.call(unpack(ARGV))"
    r.execute_command("FUNCTION", "LOAD", "#!lua name=forge\nredis.register_function('forge', "
                      "function(keys, ARGV) return " + body + " end)")
    for call in forged():
        script = "return " + body if how == "EVAL" else "forge"
        assert error_code(r.execute_command, how, script, 1, TOKEN, *call), call
    assert r.dbsize() == 0


def test_a_user_who_may_do_everything_is_refused_too(server, r):
    r.execute_command("ACL", "SETUSER", "root", "on", "nopass", "+@all", "allkeys", "allchannels")
    with server.wire() as wire:
        wire.call("AUTH", "root", "x")
        check_refused(wire)
    assert r.dbsize() == 0


@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica_refuses_them_from_a_client(make_server, replica_of, read_only):
    master = make_server()
    start(master.client())
    replica = replica_of(master, replica_read_only=read_only)
    before = replica.sessions()
    with replica.wire() as wire:
        check_refused(wire)
    assert replica.sessions() == before
    # The link itself is still obeyed.
    pset(master.client(), start(master.client()), b"n", b"d")
    replica.wait_synced()
    assert len(replica.sessions()) == 2


def slow_to_load(server, keys=500):
    """Fill the server with keys that take a while to load, and return a token of theirs."""
    with server.wire() as wire:
        wire.pipeline(("SET", "key %d" % n, b"x" * 2000) for n in range(keys))
        token = wire.call("SESSIONGATE.START", KEY, 1000)
        wire.call("SESSIONGATE.PSET", KEY, token, b"n", b"d")
    return token


def ask(server, section, field):
    """A field of INFO, asked on a connection of its own; None while the server does not answer."""
    try:
        with server.wire() as wire:
            for line in wire.call("INFO", section).decode().split("\r\n"):
                if line.startswith(field + ":"):
                    return line.split(":", 1)[1]
    except OSError:
        pass
    return None


@pytest.mark.slow
def test_a_server_that_loads_its_data_refuses_them(make_server):
    server = make_server(loading_process_events_interval_bytes=1024)
    slow_to_load(server)
    server.client().save()
    server.stop()
    server.config["key_load_delay"] = 10_000
    server.start(wait=False)
    wait_for(lambda: ask(server, "persistence", "loading") == "1", 10, "the server loads")
    with server.wire() as wire:
        assert wire.call("PING").code == "LOADING"
        for call in forged():  # at once: it looks at its clients every 1,024 bytes of its file
            wire.send(*call)
        for call in forged():
            assert isinstance(wire.read(), Wire.Error), call
    assert ask(server, "persistence", "loading") == "1"
    wait_for(lambda: ask(server, "persistence", "loading") == "0", 30, "the server has loaded")
    assert server.client().exists(TOKEN) == 0
    assert server.client().dbsize() == 501


@pytest.mark.slow
@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica_that_loads_beside_its_data_refuses_them(make_server, replica_of, read_only):
    """While it loads asynchronously a replica serves clients: LOADING alone would not tell."""
    master = make_server(repl_backlog_size=16384, repl_diskless_sync="yes", rdbcompression="no")
    token = slow_to_load(master)
    replica = replica_of(master, repl_diskless_load="swapdb", replica_read_only=read_only,
                         loading_process_events_interval_bytes=1024, key_load_delay=0)
    # A full resynchronization of the same history: cut the link and outrun the backlog meanwhile.
    replica.pause()
    master.client().execute_command("CLIENT", "KILL", "TYPE", "replica")
    for _ in range(20):
        master.client().set("filler", b"x" * 10_000)
    master.client().config_set("rdb-key-save-delay", 15_000)
    replica.resume()
    wait_for(lambda: ask(replica, "persistence", "async_loading") == "1", 20,
             "the replica loads asynchronously")
    with replica.wire() as wire:
        assert wire.call("SESSIONGATE.PGET", KEY, token, b"n") == b"d"
        check_refused(wire)
    assert ask(replica, "persistence", "async_loading") == "1", "the forged calls came too late"
    assert replica.client().exists(TOKEN) == 0
    master.client().config_set("rdb-key-save-delay", 0)
    wait_for(lambda: ask(replica, "persistence", "async_loading") == "0", 30,
             "the replica has loaded")
    wait_linked(replica)
    assert replica.client().exists(TOKEN) == 0
    assert pget(replica.client(), token, b"n") == b"d"
