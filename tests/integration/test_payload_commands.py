"""PGETALL, PMGET, PMSET, PPOP, and PSET with a condition."""

import pytest

from features import OTHER_KEY, info, pairs, payloads, sg
from harness import (KEY, LARGEST_DATA, LARGEST_NAME, Stream, end, error_code, pdel, pget, pset,
                     start)


@pytest.fixture
def token(r):
    return start(r, KEY, 1000)


# PGETALL -----------------------------------------------------------------------------------------

def test_pgetall_answers_every_payload_and_no_other(r, token):
    held = {b"n%d" % n: b"data of %d" % n for n in range(100)}
    held.update({b"\0": b"\0", b"\r\n": b"$-1\r\n", bytes(range(256))[:200]: bytes(range(256))})
    for name, data in held.items():
        pset(r, token, name, data)
    other = start(r)
    pset(r, other, b"of another session", b"d")
    answer = sg(r, "PGETALL", token)
    assert len(answer) == 2 * len(held)
    assert pairs(answer) == held
    pdel(r, token, b"\0")
    del held[b"\0"]
    assert payloads(r, token) == held


def test_pgetall_answers_a_map_in_resp3_and_a_flat_array_in_resp2(server, r, token):
    call = ("SESSIONGATE.PGETALL", KEY, token)
    with server.wire(2) as two, server.wire(3) as three:
        two.expect([call], [b"*0\r\n"])
        three.expect([call], [b"%0\r\n"])
        pset(r, token, b"n", b"d")
        two.expect([call], [b"*2\r\n$1\r\nn\r\n$1\r\nd\r\n"])
        three.expect([call], [b"%1\r\n$1\r\nn\r\n$1\r\nd\r\n"])


def test_pgetall_answers_large_payloads_whole(r, token):
    held = {b"n%d" % n: b"%d" % n * 1_000_000 for n in range(5)}
    for name, data in held.items():
        pset(r, token, name, data)
    assert payloads(r, token) == held


# PMGET -------------------------------------------------------------------------------------------

def test_pmget_answers_in_the_order_of_the_names_with_null_for_a_missing_one(r, token):
    pset(r, token, b"a", b"1")
    pset(r, token, b"b", b"2")
    names = b"b", b"absent", b"a", b"b", b"A"
    assert sg(r, "PMGET", token, *names) == [b"2", None, b"1", b"2", None]
    assert sg(r, "PMGET", token, b"absent") == [None]
    names = [b"n%d" % n for n in range(1000)]
    assert sg(r, "PMGET", token, *names) == [None] * 1000


def test_a_missing_payload_is_null_of_the_protocol(server, r, token):
    pset(r, token, b"n", b"d")
    call = ("SESSIONGATE.PMGET", KEY, token, b"n", b"absent")
    with server.wire(2) as two, server.wire(3) as three:
        two.expect([call], [b"*2\r\n$1\r\nd\r\n$-1\r\n"])
        three.expect([call], [b"*2\r\n$1\r\nd\r\n_\r\n"])


def test_pmget_refuses_all_names_for_one_that_is_wrong(r, token):
    pset(r, token, b"n", b"d")
    for wrong in (b"", b"x" * (LARGEST_NAME + 1)):
        assert error_code(sg, r, "PMGET", token, b"n", wrong) == "ERR"
        assert error_code(sg, r, "PMGET", token, wrong, b"n") == "ERR"
    assert sg(r, "PMGET", token, b"n", b"x" * LARGEST_NAME) == [b"d", None]


# PMSET -------------------------------------------------------------------------------------------

def test_pmset_sets_all_payloads_new_or_not(r, token):
    pset(r, token, b"a", b"old")
    pset(r, token, b"kept", b"d")
    assert sg(r, "PMSET", token, b"a", b"1", b"b", b"2", b"\0", b"\r\n") == b"OK"
    assert payloads(r, token) == {b"a": b"1", b"b": b"2", b"\0": b"\r\n", b"kept": b"d"}
    assert sg(r, "PMSET", token, b"a", b"3") == b"OK"
    assert pget(r, token, b"a") == b"3"


def test_of_a_name_that_is_given_twice_the_last_data_counts(r, token):
    assert sg(r, "PMSET", token, b"a", b"1", b"b", b"2", b"a", b"3") == b"OK"
    assert payloads(r, token) == {b"a": b"3", b"b": b"2"}
    assert info(r, token)["payloads"] == 2 and info(r, token)["bytes"] == 4


def test_pmset_takes_names_and_data_at_their_limits(r, token):
    name, data = b"\0" * LARGEST_NAME, b"x" * LARGEST_DATA
    assert sg(r, "PMSET", token, name, data, b"n", b"d") == b"OK"
    assert payloads(r, token) == {name: data, b"n": b"d"}


WRONG_PAYLOADS = {
    "an empty name": (b"", b"d"), "a long name": (b"x" * (LARGEST_NAME + 1), b"d"),
    "empty data": (b"x", b""), "large data": (b"x", b"x" * (LARGEST_DATA + 1))}


@pytest.mark.parametrize("wrong", WRONG_PAYLOADS.values(), ids=WRONG_PAYLOADS)
def test_pmset_sets_nothing_when_one_payload_is_wrong(server, r, token, wrong):
    pset(r, token, b"a", b"old")
    before = server.sessions()
    with Stream(server) as stream:
        for call in ((b"a", b"1", b"b", b"2", *wrong), (*wrong, b"a", b"1"), wrong,
                     (b"a", b"1", *wrong, b"b", b"2")):
            assert error_code(sg, r, "PMSET", token, *call) == "ERR"
        assert stream.commands() == []
    assert server.sessions() == before


def test_a_session_takes_as_many_payloads_as_the_limit_says(server, r, token):
    r.config_set("sessiongate.max-payloads", 3)
    assert sg(r, "PMSET", token, b"a", b"1", b"b", b"2") == b"OK"
    before = server.sessions()
    assert error_code(sg, r, "PMSET", token, b"c", b"3", b"d", b"4") == "ERR"
    assert error_code(sg, r, "PMSET", token, b"a", b"changed", b"c", b"3", b"d", b"4") == "ERR"
    assert server.sessions() == before
    assert sg(r, "PMSET", token, b"a", b"5", b"b", b"6", b"c", b"3") == b"OK"
    assert error_code(pset, r, token, b"d", b"4") == "ERR"
    assert pset(r, token, b"a", b"changed") == b"OK"
    assert sg(r, "PMSET", token, b"a", b"1", b"b", b"2", b"c", b"3") == b"OK"
    pdel(r, token, b"b")
    assert pset(r, token, b"d", b"4") == b"OK"
    assert payloads(r, token) == {b"a": b"1", b"c": b"3", b"d": b"4"}


def test_a_session_that_exceeds_a_lowered_limit_keeps_what_it_has(r, token):
    sg(r, "PMSET", token, *[part for n in range(5) for part in (b"n%d" % n, b"d")])
    r.config_set("sessiongate.max-payloads", 3)
    assert len(payloads(r, token)) == 5
    assert pset(r, token, b"n0", b"changed") == b"OK"
    assert sg(r, "PMSET", token, b"n1", b"changed", b"n2", b"changed") == b"OK"
    assert error_code(pset, r, token, b"new", b"d") == "ERR"
    assert error_code(sg, r, "PMSET", token, b"n1", b"again", b"new", b"d") == "ERR"
    assert pget(r, token, b"n1") == b"changed"
    assert sg(r, "PPOP", token, b"n0") == b"changed"


# PPOP --------------------------------------------------------------------------------------------

def test_ppop_answers_a_payload_once(r, token):
    pset(r, token, b"state", b"\0 of OAuth\r\n")
    pset(r, token, b"other", b"d")
    assert sg(r, "PPOP", token, b"state") == b"\0 of OAuth\r\n"
    assert error_code(sg, r, "PPOP", token, b"state") == "NOPAYLOAD"
    assert error_code(pget, r, token, b"state") == "NOPAYLOAD"
    assert payloads(r, token) == {b"other": b"d"}
    pset(r, token, b"state", b"again")
    assert sg(r, "PPOP", token, b"state") == b"again"


def test_the_last_payload_popped_leaves_a_session(r, token):
    pset(r, token, b"n", b"x" * 1_000_000)
    assert sg(r, "PPOP", token, b"n") == b"x" * 1_000_000
    assert r.exists(token) == 1 and payloads(r, token) == {}


# PSET NX and XX ----------------------------------------------------------------------------------

def test_pset_nx_sets_a_new_payload_only(r, token):
    assert sg(r, "PSET", token, b"n", b"first", b"NX") == b"OK"
    assert sg(r, "PSET", token, b"n", b"second", b"NX") is None
    assert pget(r, token, b"n") == b"first"


def test_pset_xx_changes_a_payload_only(r, token):
    assert sg(r, "PSET", token, b"n", b"d", b"XX") is None
    assert error_code(pget, r, token, b"n") == "NOPAYLOAD"
    pset(r, token, b"n", b"d")
    assert sg(r, "PSET", token, b"n", b"changed", b"xx") == b"OK"
    assert pget(r, token, b"n") == b"changed"


def test_a_condition_that_does_not_hold_is_answered_with_null(server, r, token):
    call = ("SESSIONGATE.PSET", KEY, token, b"n", b"d", b"XX")
    with server.wire(2) as two, server.wire(3) as three:
        two.expect([call], [b"$-1\r\n"])
        three.expect([call], [b"_\r\n"])
        pset(r, token, b"n", b"d")
        two.expect([call], [b"+OK\r\n"])
        three.expect([call], [b"+OK\r\n"])


def test_a_condition_that_does_not_hold_changes_nothing_and_sends_nothing(server, r, token):
    pset(r, token, b"n", b"d")
    before = server.sessions()
    with Stream(server) as stream, server.wire() as watcher:
        watcher.call("WATCH", token)
        assert sg(r, "PSET", token, b"n", b"changed", b"NX") is None
        assert sg(r, "PSET", token, b"new", b"d", b"XX") is None
        watcher.call("MULTI")
        watcher.call("PING")
        assert watcher.call("EXEC") == ["PONG"]
        assert stream.commands() == []
    assert server.sessions() == before


@pytest.mark.parametrize("option", [b"", b"N", b"NXX", b"EX", b"NX\0", b"\0", b"NX XX"])
def test_any_other_condition_is_refused(server, r, token, option):
    before = server.sessions()
    assert error_code(sg, r, "PSET", token, b"n", b"d", option) == "ERR"
    assert error_code(sg, r, "PSET", token, b"n", b"d", b"NX", option) == "ERR"
    assert error_code(sg, r, "PSET", token, b"n", b"d", b"NX", b"XX") == "ERR"
    assert server.sessions() == before


def test_a_full_session_answers_a_condition_first(r, token):
    r.config_set("sessiongate.max-payloads", 1)
    pset(r, token, b"n", b"d")
    assert sg(r, "PSET", token, b"n", b"changed", b"NX") is None
    assert sg(r, "PSET", token, b"new", b"d", b"XX") is None
    assert error_code(sg, r, "PSET", token, b"new", b"d", b"NX") == "ERR"
    assert sg(r, "PSET", token, b"n", b"changed", b"XX") == b"OK"


def test_a_condition_does_not_revive_a_session(r, token):
    end(r, token)
    for option in (b"NX", b"XX"):
        assert error_code(sg, r, "PSET", token, b"n", b"d", option) == "NOSESSION"
    assert error_code(sg, r, "PMSET", token, b"n", b"d") == "NOSESSION"
    assert r.dbsize() == 0


# Reads are reads ---------------------------------------------------------------------------------

READS = {"PGETALL": (), "PMGET": (b"n", b"absent"), "TTL": (), "INFO": ()}


@pytest.mark.parametrize("command", READS)
def test_a_read_changes_nothing_and_a_replica_serves_it(server, r, token, replica_of, command):
    pset(r, token, b"n", b"d")
    replica = replica_of(server)
    before, expiry = server.sessions(), r.execute_command("PEXPIRETIME", token)
    with Stream(server) as stream, server.wire() as watcher:
        watcher.call("WATCH", token)
        answer = sg(r, command, token, *READS[command])
        watcher.call("MULTI")
        watcher.call("PING")
        assert watcher.call("EXEC") == ["PONG"]
        assert stream.commands() == []
    assert server.sessions() == before
    assert r.execute_command("PEXPIRETIME", token) == expiry
    theirs = sg(replica.client(), command, token, *READS[command])
    if command == "INFO":
        answer, theirs = pairs(answer), pairs(theirs)
        assert abs(answer.pop(b"ttl") - theirs.pop(b"ttl")) < 5_000
    assert theirs == answer or command == "TTL" and answer - 5 < theirs <= answer
    assert error_code(sg, replica.client(), command, token, *READS[command],
                      sign_key=OTHER_KEY) == "BADSIGNATURE"
