"""The internal commands that replicate the newer commands refuse every client."""

import time

import pytest

from features import sg, signed_v2
from harness import KEY, Wire, error_code, signed, start

TOKENS = signed(KEY, b"ForgedSession000"), signed_v2(KEY, b"ForgedSession000000000")


def forged(token, successor):
    """Each internal command, as the server itself would send it."""
    later = int((time.time() + 1000) * 1000)
    yield "SGREPLAY.START", token, later, 60
    yield "SGREPLAY.START", token, 0, 60, 1, later, b"n", b"d"
    yield "SGREPLAY.PSET", token, b"n", b"d", b"m", b"d"
    yield "SGREPLAY.PDEL", token, b"n"
    yield "SGREPLAY.PSETEX", token, later, b"n", b"d"
    yield "SGREPLAY.SWEPT", token, later, 5, b"SGREPLAY.PDEL", token, b"n"
    yield "SGREPLAY.EXPIRE", token, later, 60
    yield "SGREPLAY.ROTATE", token, successor, later, 0, 60, later
    yield "SGREPLAY.ROTATE", token, successor, 0, 0, 0, 0, token
    yield "SGREPLAY.TOUCH", token, later
    yield "SGREPLAY.END", token, successor
    yield "SGREPLAY.PSETVIA", token, 1, successor, b"n", b"d"
    yield "SGREPLAY.OSTART", token, b"owner", later, 60, 1, later, later, 1, 0, successor
    yield "SGREPLAY.OEXPIRE", token, b"owner", later, 60, later, successor
    yield "SGREPLAY.OROTATE", token, successor, b"owner", later, 0, 60, 0, later, token
    yield "SGREPLAY.OEND", b"owner", 0, token, 1, successor, token
    yield "SGREPLAY.OWNER", token, successor
    yield "SGREPLAY.LOAD", token, b"\1\0\x3c\2\1\1nd", b"\1\1md"
    yield "SGREPLAY.ALIAS", token, successor
    yield "SESSIONGATE.PROBE", token


def check_refused(server, token, successor):
    before = server.sessions()
    with server.wire() as wire:
        for call in forged(token, successor):
            for count in range(1, len(call) + 1):
                assert isinstance(wire.call(*call[:count]), Wire.Error), call[:count]
            assert wire.call(*call).code in ("ERR", "READONLY"), call
            assert wire.call("MULTI") == "OK"
            wire.call(*call)
            reply = wire.call("EXEC")
            assert isinstance(reply, Wire.Error) or isinstance(reply[0], Wire.Error), call
            reply = wire.call("EVAL", "return redis.call(unpack(ARGV))", 2, token, successor, *call)
            assert isinstance(reply, Wire.Error), call
    assert server.sessions() == before


@pytest.mark.parametrize("token", TOKENS, ids=["v1", "v2"])
def test_a_client_is_refused_on_names_that_are_free(server, r, token):
    check_refused(server, token, signed(KEY, b"AnotherForged000"))
    assert r.dbsize() == 0


def test_a_client_is_refused_on_living_sessions_and_aliases(server, r):
    alias = sg(r, "START", 60, "PAYLOADS", 1, b"n", b"d")
    successor = sg(r, "ROTATE", alias, "GRACE", 300)
    other = start(r)
    check_refused(server, alias, successor)
    check_refused(server, successor, other)
    check_refused(server, other, alias)


def test_a_user_who_may_do_everything_is_refused(server, r):
    r.execute_command("ACL", "SETUSER", "root", "on", ">x", "+@all", "allkeys", "allchannels")
    with server.wire() as wire:
        assert wire.call("AUTH", "root", "x") == "OK"
        for call in forged(*TOKENS):
            assert wire.call(*call).code == "ERR", call
    assert r.dbsize() == 0


@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica_refuses_a_client_and_obeys_its_master(make_server, replica_of, read_only):
    master = make_server()
    replica = replica_of(master, replica_read_only=read_only)
    old = start(master.client())
    replica.wait_synced()
    check_refused(replica, old, TOKENS[0])
    new = sg(master.client(), "ROTATE", old, "GRACE", 300)
    replica.wait_synced()
    assert replica.sessions() == master.sessions()
    check_refused(replica, old, new)
    assert error_code(sg, replica.client(), "TTL", old) is None
