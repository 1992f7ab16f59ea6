"""What a master sends, and that replicas of every kind hold the same sessions as it does."""

import time

import pytest

from harness import (KEY, Stream, end, error_code, expire, is_token, pdel, pget, pset, start,
                     wait_for, wait_linked)

AOF = {"appendonly": "yes", "appendfsync": "always"}


def write_everything(r):
    """Calls of every kind. Returns a token of a session that lives, with payload n."""
    tokens = [start(r, KEY, 1000) for _ in range(8)]
    for token in tokens[1:]:
        pset(r, token, b"n\0\r\n", b"data\0")
        pset(r, token, b"n", b"d")
    pset(r, tokens[2], b"n", b"x" * 1_000_000)
    pdel(r, tokens[3], b"n")
    expire(r, tokens[4], 500)
    expire(r, tokens[5], 3_153_600_000)
    expire(r, tokens[6], 0)
    end(r, tokens[7])
    start(r, KEY, 0)
    with r.pipeline(transaction=True) as transaction:
        start(transaction)
        pset(transaction, tokens[1], b"in a transaction", b"d")
        transaction.execute()
    r.eval("local t = redis.call('SESSIONGATE.START', ARGV[1], 60) "
           "redis.call('SESSIONGATE.PSET', ARGV[1], t, 'n', 'd')", 0, KEY)
    return tokens[1]


def same(master, *replicas):
    for replica in replicas:
        replica.wait_synced()
    held = master.sessions()
    assert held
    for replica in replicas:
        assert replica.sessions() == held


# The stream --------------------------------------------------------------------------------------

def is_soon(milliseconds, ttl):
    """Whether this is the decimal unix time in ms of about ttl seconds from now."""
    return abs(int(milliseconds) - (time.time() + ttl) * 1000) < 5_000


def test_start_sends_the_token_and_the_time_of_expiry(r, stream):
    token = start(r, KEY, 77)
    [[name, key, expiry, ttl]] = stream.commands()
    assert (name, key, ttl) == (b"SGST", token, b"77")
    assert is_soon(expiry, 77)
    assert int(expiry) == r.execute_command("PEXPIRETIME", token)


def test_pset_and_pdel_send_what_they_were_given_without_the_sign_key(r, stream):
    token = start(r)
    stream.commands()
    pset(r, token, b"n\0\r\n", b"d\0\r\n")
    assert stream.commands() == [[b"SGPS", token, b"n\0\r\n", b"d\0\r\n"]]
    pdel(r, token, b"n\0\r\n")
    assert stream.commands() == [[b"SGPD", token, b"n\0\r\n"]]


def test_expire_sends_the_time_of_expiry(r, stream):
    token = start(r)
    stream.commands()
    expire(r, token, 99)
    [[name, key, expiry, ttl]] = stream.commands()
    assert (name, key, ttl) == (b"SGEX", token, b"99")
    assert int(expiry) == r.execute_command("PEXPIRETIME", token) and is_soon(expiry, 99)


@pytest.mark.parametrize("over", [
    lambda r, token: expire(r, token, 0), lambda r, token: end(r, token)], ids=["EXPIRE 0", "END"])
def test_the_end_of_a_session_sends_its_token(r, stream, over):
    token = start(r)
    stream.commands()
    over(r, token)
    assert stream.commands() == [[b"SGEN", token]]


def test_reading_sends_nothing(r, stream):
    token = start(r)
    pset(r, token, b"n", b"d")
    stream.commands()
    pget(r, token, b"n")
    error_code(pget, r, token, b"absent")
    start(r, KEY, 0)
    assert stream.commands() == []


def test_a_transaction_sends_its_effects_in_order_within_one_multi(r, stream):
    token = start(r)
    stream.commands()
    with r.pipeline(transaction=True) as transaction:
        transaction.set("x", 1)
        pset(transaction, token, b"n", b"d")
        start(transaction)
        pget(transaction, token, b"n")
        pdel(transaction, token, b"absent")
        pdel(transaction, token, b"n")
        expire(transaction, token, 50)
        end(transaction, token)
        transaction.set("y", 1)
        other = transaction.execute(raise_on_error=False)[2]
    assert [command[:2] for command in stream.commands()] == [
        [b"MULTI"], [b"SET", b"x"], [b"SGPS", token],
        [b"SGST", other], [b"SGPD", token],
        [b"SGEX", token], [b"SGEN", token], [b"SET", b"y"], [b"EXEC"]]


def test_a_script_sends_its_effects_and_not_itself(r, stream):
    token = start(r)
    stream.commands()
    other = r.eval("""
        redis.call('SESSIONGATE.PSET', ARGV[1], KEYS[1], 'n', 'd')
        local other = redis.call('SESSIONGATE.START', ARGV[1], 60)
        redis.call('SESSIONGATE.END', ARGV[1], KEYS[1])
        return other""", 1, token, KEY)
    assert is_token(other)
    assert [command[:2] for command in stream.commands()] == [
        [b"MULTI"], [b"SGPS", token], [b"SGST", other],
        [b"SGEN", token], [b"EXEC"]]


def test_effects_go_to_the_database_of_the_call(server, r):
    with Stream(server) as stream:
        three = server.client(db=3)
        token = start(three)
        pset(r, start(r), b"n", b"d")
        stream.commands()
        text = bytes(stream.bytes)
    assert text.index(b"SELECT\r\n$1\r\n3") < text.index(token) < text.index(b"SELECT\r\n$1\r\n0")


def test_the_aof_holds_what_is_sent(make_server):
    server = make_server(aof_use_rdb_preamble="no", **AOF)
    with Stream(server) as stream:
        write_everything(server.client())
        stream.commands()
        sent = bytes(stream.bytes)
    aof = b"".join(file.read_bytes() for file in sorted(
        (server.directory / "appendonlydir").glob("*.incr.aof")))
    # The AOF may annotate with lines of #; the stream has PUBLISH marks and pings.
    effects = [part for part in sent.split(b"*") if b"\r\n$4\r\nSG" in part]
    assert len(effects) > 20
    position = 0
    for effect in effects:
        position = aof.index(effect.rstrip(b"\r\n"), position) + 1


# Replicas ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def chain(new_server):
    """A master, a replica of it with an AOF of its own, and a replica of that one."""
    servers = [new_server().start()]
    try:
        for config in (AOF, {}):
            servers.append(new_server(replicaof=f"127.0.0.1 {servers[-1].port}", **config).start())
            wait_linked(servers[-1])
        yield servers
    finally:
        for server in reversed(servers):
            server.close()


def test_a_chain_of_replicas_holds_the_same_sessions(chain):
    master, replica, second = chain
    token = write_everything(master.client())
    same(master, replica, second)
    assert pget(replica.client(), token, b"n") == b"d"
    assert pget(second.client(), token, b"n") == b"d"


def test_a_replica_that_comes_late_gets_all_sessions(chain, replica_of):
    master, *_ = chain
    write_everything(master.client())
    same(master, replica_of(master))


@pytest.mark.parametrize("diskless", ["no", "yes"])
@pytest.mark.parametrize("load", ["disabled", "on-empty-db", "swapdb"])
def test_every_way_to_synchronize_carries_all_sessions(chain, replica_of, diskless, load):
    master, *_ = chain
    write_everything(master.client())
    master.client().config_set("repl-diskless-sync", diskless)
    replica = replica_of(master, repl_diskless_load=load)
    same(master, replica)
    assert "skipping diskless" not in replica.log().lower()


def test_a_replica_refuses_writes_and_serves_reads(chain):
    master, replica, _ = chain
    token = write_everything(master.client())
    replica.wait_synced()
    r = replica.client()
    assert pget(r, token, b"n") == b"d"
    assert error_code(pget, r, token, b"n", b"another key") == "BADSIGNATURE"
    assert error_code(pget, r, token, b"absent") == "NOPAYLOAD"
    for call in (lambda: start(r), lambda: pset(r, token, b"n", b"x"), lambda: pdel(r, token, b"n"),
                 lambda: expire(r, token, 9), lambda: end(r, token)):
        assert error_code(call) == "READONLY"


def test_an_expired_session_is_gone_on_a_replica_too(chain):
    master, replica, second = chain
    r = master.client()
    r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        token = start(r)
        pset(r, token, b"n", b"d")
        r.pexpire(token, 300)
        replica.wait_synced()
        second.wait_synced()
        over = time.time() + 0.301
        wait_for(lambda: time.time() > over, 5, "300 ms passed")
        for server in (replica, second):
            assert error_code(pget, server.client(), token, b"n") == "NOSESSION"
        assert error_code(pset, r, token, b"n", b"d") == "NOSESSION"
        same(master, replica, second)
        assert token not in second.sessions()
    finally:
        r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_a_replica_that_lost_its_link_catches_up(chain):
    master, replica, second = chain
    r = master.client()
    write_everything(r)
    replica.wait_synced()
    full = r.info("stats")["sync_full"]
    r.execute_command("CLIENT", "KILL", "TYPE", "replica")
    write_everything(r)
    wait_linked(replica)
    wait_linked(second)
    same(master, replica, second)
    assert r.info("stats")["sync_full"] == full


def test_a_replica_with_an_aof_of_its_own_restarts_alone(make_server):
    """Effects must be in the replica's own AOF; nobody else tells it about them any more."""
    master = make_server()
    replica = make_server(replicaof=f"127.0.0.1 {master.port}", **AOF)
    wait_linked(replica)
    replica.wait_saved()
    write_everything(master.client())
    replica.wait_synced()
    held = master.sessions()
    replica.kill9()
    master.stop()
    del replica.config["replicaof"]
    replica.start()
    assert replica.sessions() == held


def test_a_promoted_replica_goes_on(make_server, replica_of):
    master = make_server()
    replica, third = replica_of(master), replica_of(master)
    token = write_everything(master.client())
    held = master.sessions()
    assert master.client().wait(2, 5000) == 2
    replica.wait_synced()
    master.kill9()
    r = replica.client()
    r.replicaof("NO", "ONE")
    assert replica.sessions() == held
    third.client().replicaof("127.0.0.1", replica.port)
    wait_linked(third)
    assert pget(r, token, b"n") == b"d"
    assert pset(r, token, b"n", b"of the new master") == b"OK"
    write_everything(r)
    same(replica, third)


def test_a_writable_replica_has_sessions_of_its_own(make_server, replica_of):
    master = make_server()
    replica = replica_of(master, replica_read_only="no")
    r = replica.client()
    token = start(r)
    assert pset(r, token, b"n", b"d") == b"OK"
    assert pget(r, token, b"n") == b"d"
    assert error_code(pget, master.client(), token, b"n") == "NOSESSION"
    shared = write_everything(master.client())
    replica.wait_synced()
    assert pset(r, shared, b"n", b"only here") == b"OK"
    assert pget(r, shared, b"n") == b"only here"
    assert pget(master.client(), shared, b"n") == b"d"
    assert end(r, token) == b"OK"
    assert error_code(pget, r, token, b"n") == "NOSESSION"
    short = start(r, KEY, 1)
    wait_for(lambda: error_code(pget, r, short, b"n") == "NOSESSION", 5, "the session is over")
    assert error_code(pset, r, short, b"n", b"d") == "NOSESSION"
