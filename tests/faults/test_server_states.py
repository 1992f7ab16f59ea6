"""States in which a server takes no writes: its own error, and nothing half-applied.

Each of the commands that write is refused with the server's code, alone, in a transaction and in a
script; afterwards the session is as it was, and nothing went to AOF or replicas. When the state is
over, writing goes on.
"""

import contextlib
import resource

import pytest

from harness import (KEY, Stream, Wire, end, error_code, expire, pdel, pget, pset, start, wait_for)

WRITES = {
    "START": lambda token: (KEY, 60),
    "PSET": lambda token: (KEY, token, b"n", b"other"),
    "PMSET": lambda token: (KEY, token, b"n", b"other", b"m", b"d"),
    "PDEL": lambda token: (KEY, token, b"n"),
    "PPOP": lambda token: (KEY, token, b"n"),
    "EXPIRE": lambda token: (KEY, token, 30),
    "TOUCH": lambda token: (KEY, token),
    "ROTATE": lambda token: (KEY, token),
    "END": lambda token: (KEY, token),
}
SCRIPT = """
local call = {'SESSIONGATE.' .. ARGV[1], unpack(ARGV, 2)}
return redis.call(unpack(call))
"""


@pytest.fixture
def r(server):
    """Here the client that each test writes by."""
    return server.client()


def a_session(client):
    token = start(client, KEY, 1000)
    pset(client, token, b"n", b"data")
    return token


def held(client, token):
    return client.keys(), client.dump(token), client.execute_command("PEXPIRETIME", token)


def refused(client, token, code):
    """Each write is refused with that code, in each way, and the session stays what it is."""
    before = held(client, token)
    for name, arguments in WRITES.items():
        call = ("SESSIONGATE." + name, *arguments(token))
        assert error_code(client.execute_command, *call) == code, name
        with client.pipeline(transaction=True) as pipeline:
            pipeline.execute_command(*call)
            assert error_code(pipeline.execute) in (code, "EXECABORT"), name
        keys = [token] if token in call else []
        assert error_code(client.eval, SCRIPT, len(keys), *keys, name, *call[1:]) == code, name
    assert held(client, token) == before
    assert pget(client, token, b"n") == b"data"


def writes_again(client, token):
    assert pset(client, token, b"n", b"new") == b"OK"
    assert pget(client, token, b"n") == b"new"
    assert expire(client, token, 60) == b"OK"
    assert pdel(client, token, b"n") == b"OK"
    assert end(client, token) == b"OK"
    assert client.dbsize() == 0


def test_after_a_failed_save_writes_are_refused(r, server):
    token = a_session(r)
    r.config_set("save", "100000 1000")  # without a save point nobody minds a failed save
    r.config_set("stop-writes-on-bgsave-error", "yes")
    obstacle = server.directory / "dump.rdb"
    with Stream(server) as stream:
        stream.commands()
        obstacle.unlink(missing_ok=True)
        obstacle.mkdir()
        (obstacle / "in the way").touch()
        r.bgsave()
        wait_for(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err", 10,
                 "a save has failed")
        refused(r, token, "MISCONF")
        (obstacle / "in the way").unlink()
        obstacle.rmdir()
        r.bgsave()
        server.wait_saved()
        assert stream.commands() == []
    writes_again(r, token)


def test_with_a_full_disk_writes_are_refused_and_none_is_half_kept(make_server):
    """The disk is full by a limit on the size of files, which root has to keep as well."""
    server = make_server(start=False, appendonly="yes", appendfsync="everysec", hz=100,
                         auto_aof_rewrite_percentage=0)
    wrapped = server.directory / "bin"
    wrapped.mkdir()
    for program in ("server", "cli"):
        # A write past the limit raises a signal, which would end the server, unless ignored.
        (wrapped / program).write_text(
            f'#!/bin/sh\ntrap "" XFSZ\nexec {server.program / program} "$@"\n')
        (wrapped / program).chmod(0o755)
    server.program = wrapped
    server.start()
    client = server.client()
    token = a_session(client)
    wait_for(lambda: server.info("persistence")["aof_pending_bio_fsync"] == 0, 10,
             "the AOF written")
    [aof] = (server.directory / "appendonlydir").glob("*.incr.aof")
    size = aof.stat().st_size
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
    expire(client, token, 2000)  # was in memory already when the server learned of its disk
    wait_for(lambda: server.info("persistence")["aof_last_write_status"] == "err", 10,
             "a write to the AOF has failed")
    refused(client, token, "MISCONF")
    with_room = resource.RLIM_INFINITY, resource.RLIM_INFINITY
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, with_room)
    wait_for(lambda: server.info("persistence")["aof_last_write_status"] == "ok", 10,
             "the AOF is written again")
    sessions = server.sessions()
    assert list(sessions) == [token]
    assert pset(client, token, b"after", b"data") == b"OK"
    sessions = server.sessions()
    server.restart()
    assert server.sessions() == sessions
    writes_again(server.client(), token)


def test_with_too_few_replicas_writes_are_refused(r, server):
    token = a_session(r)
    with Stream(server) as stream:  # it acknowledges nothing
        stream.commands()
        r.config_set("min-replicas-max-lag", 1)
        r.config_set("min-replicas-to-write", 2)
        wait_for(lambda: server.info("replication").get("min_slaves_good_slaves") is not None, 10,
                 "replicas are counted")
        refused(r, token, "NOREPLICAS")
        r.config_set("min-replicas-to-write", 0)
        assert stream.commands() == []
    writes_again(r, token)


def test_a_replica_refuses_writes(server, replica_of):
    token = a_session(server.client())
    replica = replica_of(server)
    refused(replica.client(), token, "READONLY")
    assert replica.sessions() == server.sessions()
    writes_again(server.client(), token)
    replica.wait_synced()
    assert replica.client().dbsize() == 0


def test_a_stale_replica_that_may_not_serve_refuses_reads_and_writes(make_server, replica_of):
    master = make_server()
    token = a_session(master.client())
    replica = replica_of(master, replica_serve_stale_data="no", replica_read_only="no")
    master.kill9()
    client = replica.client()
    wait_for(lambda: replica.info("replication")["master_link_status"] == "down", 10,
             "the link down")
    for name, arguments in {**WRITES, "PGET": lambda token: (KEY, token, b"n")}.items():
        assert error_code(client.execute_command, "SESSIONGATE." + name, *arguments(token)) == \
            "MASTERDOWN"
    client.config_set("replica-serve-stale-data", "yes")
    client.config_set("replica-read-only", "yes")
    refused(client, token, "READONLY")
    client.execute_command("REPLICAOF", "NO", "ONE")
    writes_again(client, token)


def test_while_writes_are_paused_reads_go_on_and_writes_wait(r, server):
    token = a_session(r)
    before = held(r, token)
    with Stream(server) as stream, contextlib.ExitStack() as wires:
        stream.commands()
        r.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        waiting = {}
        for name in ("START", "PSET", "EXPIRE", "TOUCH"):
            waiting[name] = wires.enter_context(server.wire())
            waiting[name].send("SESSIONGATE." + name, *WRITES[name](token))
        wait_for(lambda: r.info("clients")["blocked_clients"] == len(waiting), 10, "writes wait")
        assert pget(r, token, b"n") == b"data"
        assert held(r, token) == before
        r.execute_command("CLIENT", "UNPAUSE")
        answers = {name: wire.read() for name, wire in waiting.items()}
        assert not any(isinstance(answer, Wire.Error) for answer in answers.values())
        sent = [command[0] for command in stream.commands()]
        assert sent.count(b"SGST") == 1
        assert sent.count(b"SGPS") == 1
        assert sent.count(b"SGEX") == 1
    assert pget(r, token, b"n") == b"other"
    assert r.dbsize() == 2
    end(r, answers["START"])
    writes_again(r, token)
