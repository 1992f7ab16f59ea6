"""START with a deadline, with payloads, with a format of the token; sessiongate.token-format."""

import pytest

from features import info, is_v2, payloads, sg
from harness import (KEY, LARGEST_DATA, LARGEST_NAME, LARGEST_TTL, Stream, error_code, expire,
                     is_token, pget, pset, start)


def expiry(r, token):
    return r.execute_command("PEXPIRETIME", token)


# PAYLOADS ----------------------------------------------------------------------------------------

def test_a_session_starts_with_payloads(r):
    token = sg(r, "START", 60, "PAYLOADS", 3, b"a", b"1", b"\0", b"\r\n", b"b", b"2")
    assert is_token(token)
    assert payloads(r, token) == {b"a": b"1", b"\0": b"\r\n", b"b": b"2"}
    assert 55_000 < r.pttl(token) <= 60_000
    assert payloads(r, sg(r, "START", 60, "PAYLOADS", 0)) == {}


def test_payloads_of_a_start_are_taken_at_their_limits(r):
    name, data = b"\0" * LARGEST_NAME, b"x" * LARGEST_DATA
    token = sg(r, "START", 60, "PAYLOADS", 2, name, data, b"n", b"d")
    assert payloads(r, token) == {name: data, b"n": b"d"}


def test_of_a_name_given_twice_to_a_start_the_last_data_counts(r):
    token = sg(r, "START", 60, "PAYLOADS", 3, b"a", b"1", b"b", b"2", b"a", b"3")
    assert payloads(r, token) == {b"a": b"3", b"b": b"2"}
    assert info(r, token)["payloads"] == 2


def test_a_payload_may_be_named_as_an_option_is(r):
    token = sg(r, "START", 60, "PAYLOADS", 2, b"MAXTTL", b"5", b"PAYLOADS", b"1")
    assert payloads(r, token) == {b"MAXTTL": b"5", b"PAYLOADS": b"1"}
    assert info(r, token)["deadline"] == 0


def test_a_session_starts_with_as_many_payloads_as_the_limit_says(r):
    r.config_set("sessiongate.max-payloads", 2)
    token = sg(r, "START", 60, "PAYLOADS", 2, b"a", b"1", b"b", b"2")
    assert error_code(pset, r, token, b"c", b"3") == "ERR"
    three = b"a", b"1", b"b", b"2", b"c", b"3"
    assert error_code(sg, r, "START", 60, "PAYLOADS", 3, *three) == "ERR"
    assert r.dbsize() == 1


# MAXTTL ------------------------------------------------------------------------------------------

def test_maxttl_sets_the_deadline(r):
    token = sg(r, "START", 100, "MAXTTL", 500)
    about = info(r, token)
    assert about["deadline"] == about["created"] + 500_000
    assert 95_000 < r.pttl(token) <= 100_000
    assert info(r, start(r))["deadline"] == 0
    token = sg(r, "START", LARGEST_TTL, "MAXTTL", LARGEST_TTL)
    assert expiry(r, token) == info(r, token)["deadline"]


def test_a_ttl_beyond_maxttl_ends_at_the_deadline(r):
    token = sg(r, "START", 1000, "MAXTTL", 500)
    about = info(r, token)
    assert expiry(r, token) == about["deadline"] == about["created"] + 500_000
    assert about["idle"] == 1_000_000


# FORMAT ------------------------------------------------------------------------------------------

def test_format_chooses_the_form_of_the_token(r):
    assert is_token(sg(r, "START", 60, "FORMAT", "v1"))
    token = sg(r, "START", 60, "FORMAT", "v2")
    assert is_v2(token) and len(token) == 61
    assert is_v2(sg(r, "START", 60, "format", "V2"))
    assert is_token(start(r))
    assert pset(r, token, b"n", b"d") == b"OK" and pget(r, token, b"n") == b"d"


def test_the_configuration_chooses_the_form_of_all_tokens_that_do_not_say(r):
    assert r.config_get("sessiongate.token-format") == {"sessiongate.token-format": "v1"}
    old = start(r)
    r.config_set("sessiongate.token-format", "v2")
    token = start(r)
    assert is_v2(token)
    assert is_token(sg(r, "START", 60, "FORMAT", "v1"))
    assert pset(r, old, b"n", b"d") == b"OK" and pset(r, token, b"n", b"d") == b"OK"
    assert error_code(r.config_set, "sessiongate.token-format", "v3")
    assert is_v2(start(r))
    r.config_set("sessiongate.token-format", "v1")
    assert is_token(start(r)) and pget(r, token, b"n") == b"d"


def test_the_form_is_an_argument_where_the_module_is_loaded(make_server, module):
    server = make_server(module=f"{module} token-format v2")
    assert is_v2(start(server.client()))


def test_v2_tokens_are_all_different_and_drawn_uniformly(server):
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 60, "FORMAT", "v2")] * 5_000)
    assert len({token[3:25] for token in tokens}) == 5_000
    for part in (slice(3, 25), slice(58, 61)):
        counts = {}
        for token in tokens:
            for character in token[part]:
                counts[character] = counts.get(character, 0) + 1
        expected = sum(counts.values()) / 62
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert len(counts) == 62
        assert chi_square < 150  # 61 degrees of freedom: by chance once in 10^9 runs


# All options -------------------------------------------------------------------------------------

ORDERS = [("MAXTTL", 500, "FORMAT", "v2", "PAYLOADS", 1, b"n", b"d"),
          ("PAYLOADS", 1, b"n", b"d", "FORMAT", "v2", "MAXTTL", 500),
          ("payloads", "1", b"n", b"d", "maxttl", "500", "format", "v2")]


@pytest.mark.parametrize("options", ORDERS)
def test_options_come_in_any_order_and_any_case(r, options):
    token = sg(r, "START", 100, *options)
    assert is_v2(token)
    assert payloads(r, token) == {b"n": b"d"}
    assert info(r, token)["deadline"] == info(r, token)["created"] + 500_000


WRONG = [
    ("MAXTTL", 0), ("MAXTTL", -1), ("MAXTTL", ""), ("MAXTTL", "x"), ("MAXTTL", LARGEST_TTL + 1),
    ("MAXTTL", 2**63), ("MAXTTL", 1.5), ("MAXTTL", 5, "MAXTTL", 5), ("MAXTTL", 5, "MAXTTL"),
    ("FORMAT", ""), ("FORMAT", "v3"), ("FORMAT", "v1\0"), ("FORMAT", "v1", "FORMAT", "v1"),
    ("MAXTTL", 5, "FORMAT"), ("GRACE", 5), ("TTL", 5), ("NEWKEY", "k"), ("NX", "XX"), ("", ""),
    ("MAXTTL\0", 5), ("PAYLOADS", -1), ("PAYLOADS", "x"), ("PAYLOADS", ""), ("PAYLOADS", 1),
    ("PAYLOADS", 1, "n"), ("PAYLOADS", 2, "n", "d"), ("PAYLOADS", 2, "n", "d", "m"),
    ("PAYLOADS", 0, "n", "d"), ("PAYLOADS", 1, "n", "d", "m", "d"), ("PAYLOADS", 1, "n", "d", "x"),
    ("PAYLOADS", 0, "PAYLOADS", 0), ("PAYLOADS", 1, "n", "d", "PAYLOADS", 1, "m", "d"),
    ("PAYLOADS", 2**31, "n", "d"), ("PAYLOADS", 2**32 + 1, "n", "d"),
    ("PAYLOADS", 2**63 - 1, "n", "d"),
    ("PAYLOADS", 2, "n", "d", "", "d"), ("PAYLOADS", 2, "n", "d", "m", ""),
    ("PAYLOADS", 1, "x" * (LARGEST_NAME + 1), "d"), ("PAYLOADS", 1, "n", "x" * (LARGEST_DATA + 1)),
    ("MAXTTL", 5, "PAYLOADS", 1, "n"), ("PAYLOADS", 1, "n", "d", "MAXTTL", 0)]


def test_a_wrong_option_is_refused_and_nothing_is_started(server, r):
    with Stream(server) as stream:
        for options in WRONG:
            for ttl in (60, 0):
                assert error_code(sg, r, "START", ttl, *options) == "ERR", options
        assert stream.commands() == []
    assert r.dbsize() == 0


def test_start_with_ttl_0_and_options_stores_nothing(server, r):
    with Stream(server) as stream:
        token = sg(r, "START", 0, "MAXTTL", 5, "FORMAT", "v2", "PAYLOADS", 1, b"n", b"d")
        assert stream.commands() == []
    assert is_v2(token) and r.dbsize() == 0
    assert error_code(expire, r, token, 60) == "NOSESSION"
