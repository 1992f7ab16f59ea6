"""Sessions on disk: RDB, AOF with and without an RDB preamble, restarts in order and by kill -9."""

import random
import shutil

import pytest

from harness import (KEY, LARGEST_DATA, LARGEST_NAME, LARGEST_TTL, SERVERS, end, error_code, expire,
                     pdel, pget, pset, start, wait_for)

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}


def fill(server):
    """Sessions of every kind, in two databases. Returns {token: {name: data}} of database 0."""
    r = server.client()
    held = {start(r, KEY, 1000 + n): {} for n in range(3)}
    for count in (1, 2, 1000):
        held[start(r, KEY, 5000)] = {b"name\0%d" % n: b"data\r\n%d" % n for n in range(count)}
    generator = random.Random(1)
    held[start(r, KEY, LARGEST_TTL)] = {
        generator.randbytes(LARGEST_NAME): generator.randbytes(LARGEST_DATA),
        b"\0": b"\0", b"n": b"*1\r\n$4\r\nQUIT\r\n"}
    emptied = start(r)
    pset(r, emptied, b"n", b"d")
    pdel(r, emptied, b"n")
    held[emptied] = {}
    for token, payloads in held.items():
        for name, data in payloads.items():
            pset(r, token, name, data)
    other = server.client(db=5)
    pset(other, start(other, KEY, 5000), b"n", b"of another database")
    end(r, start(r))
    r.set("a string", "x", ex=5000)
    return held


def check(server, held, snapshot):
    """The server holds what it held, to the byte and to the millisecond."""
    assert (server.sessions(), server.sessions(db=5)) == snapshot
    r = server.client()
    for token, payloads in held.items():
        for name, data in payloads.items():
            assert pget(r, token, name) == data
        assert error_code(pget, r, token, b"absent") == "NOPAYLOAD"


def snapshot(server):
    return server.sessions(), server.sessions(db=5)


def rewrite(server):
    server.client().bgrewriteaof()
    server.wait_saved()


def test_an_rdb_file_holds_every_session(make_server):
    server = make_server()
    held = fill(server)
    before = snapshot(server)
    server.client().save()
    server.restart()
    check(server, held, before)
    server.client().bgsave()
    server.wait_saved()
    server.kill9()
    server.start()
    check(server, held, before)


@pytest.mark.parametrize("compression", ["yes", "no"])
def test_an_rdb_file_without_compression_and_with_is_read(make_server, compression):
    server = make_server(rdbcompression=compression)
    held = fill(server)
    before = snapshot(server)
    server.client().save()
    server.restart()
    check(server, held, before)


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_an_aof_holds_every_session(make_server, preamble):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    held = fill(server)
    before = snapshot(server)
    server.restart()  # from effects alone
    check(server, held, before)
    rewrite(server)
    server.restart()  # from the rewritten base
    check(server, held, before)
    token = next(iter(held))
    pset(server.client(), token, b"later", b"d")
    held[token] = {b"later": b"d"}
    before = snapshot(server)
    server.kill9()
    server.start()  # from both
    check(server, held, before)


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_every_change_is_in_the_aof(make_server, preamble):
    """One session for each kind of last change, after a rewrite and without one."""
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    for _ in range(2):
        r = server.client()
        changes = [lambda t: pset(r, t, b"n", b"changed"), lambda t: pset(r, t, b"new", b"d"),
                   lambda t: pdel(r, t, b"n"), lambda t: expire(r, t, 50),
                   lambda t: expire(r, t, 90_000), lambda t: expire(r, t, 0), lambda t: end(r, t),
                   lambda t: pget(r, t, b"n")]
        for change in changes:
            token = start(r)
            pset(r, token, b"n", b"d")
            change(token)
        start(r, KEY, 0)
        before = server.sessions()
        assert len(before) % (len(changes) - 2) == 0
        server.kill9()
        server.start()
        assert server.sessions() == before
        rewrite(server)


def test_a_transaction_and_a_script_are_in_the_aof(make_server):
    server = make_server(**AOF)
    r = server.client()
    with r.pipeline(transaction=True) as transaction:
        for _ in range(3):
            start(transaction)
        tokens = transaction.execute()
    script = """
        local token = redis.call('SESSIONGATE.START', ARGV[1], 60)
        redis.call('SESSIONGATE.PSET', ARGV[1], token, 'n', 'd')
        redis.call('SESSIONGATE.END', ARGV[1], KEYS[1])
        return token"""
    token = r.eval(script, 1, tokens[0], KEY)
    before = server.sessions()
    assert set(before) == {token, *tokens[1:]}
    server.kill9()
    server.start()
    assert server.sessions() == before
    assert pget(server.client(), token, b"n") == b"d"


def test_a_session_whose_time_passed_while_the_server_was_down_is_gone(make_server):
    server = make_server(**AOF)
    r = server.client()
    over, living = start(r), start(r)
    r.pexpire(over, 1)
    server.kill9()
    server.start()
    r = server.client()
    wait_for(lambda: error_code(pget, r, over, b"n") == "NOSESSION", 5, "the session is over")
    assert error_code(pget, r, living, b"n") == "NOPAYLOAD"


def test_a_loaded_session_verifies_the_sign_key_anew(make_server):
    server = make_server()
    r = server.client()
    token = start(r)
    pset(r, token, b"n", b"d")
    r.save()
    server.restart()
    r = server.client()
    assert error_code(pget, r, token, b"n", b"another key") == "BADSIGNATURE"
    assert pget(r, token, b"n") == b"d"


def test_a_snapshot_under_writers_is_whole(make_server):
    """The child that saves sees each session as it was when it began."""
    server = make_server(rdb_key_save_delay=100)
    r = server.client()
    tokens = [start(r) for _ in range(2000)]
    with server.wire() as wire:
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, b"before" * 100)
                      for token in tokens for name in (b"a", b"b"))
        before = server.sessions()
        r.bgsave()
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"a", b"after") for token in tokens)
        assert r.info("persistence")["rdb_bgsave_in_progress"], "the writes came too late"
        server.wait_saved()
    server.kill9()
    server.start()
    assert server.sessions() == before


def test_a_server_without_the_module_does_not_start_on_its_data(make_server):
    server = make_server(**AOF)
    token = start(server.client())
    server.stop()
    module, server.module = server.module, None
    server.start(wait=False)
    assert server.process.wait(10) != 0
    server.module = module
    server.start()
    assert server.client().keys() == [token]


# Moving to another server ------------------------------------------------------------------------

def other_servers(request):
    """The servers besides the one under test that are here; one that is just being brought is not."""
    return [name for name in sorted(path.name for path in SERVERS.glob("[!.]*"))
            if name != request.config.getoption("server") and (SERVERS / name / "bin").exists()]


@pytest.mark.slow
def test_an_aof_without_rdb_preamble_moves_to_each_other_server_and_back(request, make_server):
    here = make_server(**AOF, aof_use_rdb_preamble="no")
    held = fill(here)
    r = here.client()
    successor = r.execute_command("SESSIONGATE.ROTATE", KEY, start(r, KEY, 900), "GRACE", 300)
    rewrite(here)
    before = snapshot(here)
    assert successor in before[0]
    here.stop()
    for name in other_servers(request):
        there = make_server(start=False, name=name, **AOF, aof_use_rdb_preamble="no")
        for source, target in ((here, there), (there, here)):
            shutil.rmtree(target.directory / "appendonlydir", ignore_errors=True)
            shutil.copytree(source.directory / "appendonlydir", target.directory / "appendonlydir")
            target.start()
            check(target, held, before)
            rewrite(target)
            target.stop()


def test_sessions_move_to_the_server_by_a_replica_that_is_promoted(make_server, replica_of):
    old = make_server(name="redis-bookworm")
    held = fill(old)
    new = replica_of(old)
    before = snapshot(old)
    check(new, held, before)
    old.kill9()
    new.client().execute_command("REPLICAOF", "NO", "ONE")
    check(new, held, before)
    pset(new.client(), next(iter(held)), b"n", b"d")
