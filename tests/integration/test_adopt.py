"""ADOPT: a session under a token that the client made, by the algorithm that token.h says."""

import pytest

from features import OTHER_KEY, info, payloads, sg, signed_v2
from harness import (KEY, LARGEST_TTL, Stream, end, error_code, expire, pget, pset, signed, start,
                     wait_for)

# sign key, id, pad, token. The MACs, computed by others too:
#     printf %s 0123456789abcdef          | openssl dgst -sha256 -hmac 'a secret of the application'
#     printf %s v2.0123456789abcdefGHIJKL | openssl dgst -sha256 -hmac 'a secret of the application'
VECTOR_KEY = b"a secret of the application"
VECTORS = {
    "v1": b"v1.0123456789abcdef.1bef2eefacd6f527ba2ef5f8a8193c77ba77a78e9bcaaea47c3931fd066d64a0",
    "v2": b"v2.0123456789abcdefGHIJKL.c4a24a00a8bf8e0a26f4f42aa245185axyz",
}

TOKENS = {"v1": signed(), "v2": signed_v2()}


def expiry(r, token):
    return r.execute_command("PEXPIRETIME", token)


@pytest.fixture(params=TOKENS)
def token(request):
    return TOKENS[request.param]


def test_the_vectors_are_what_the_algorithm_makes():
    assert signed(VECTOR_KEY, b"0123456789abcdef") == VECTORS["v1"]
    assert signed_v2(VECTOR_KEY, b"0123456789abcdefGHIJKL", b"xyz") == VECTORS["v2"]


@pytest.mark.parametrize("form", VECTORS)
def test_the_server_takes_the_vector_and_no_other_signature(r, form):
    vector = VECTORS[form]
    assert sg(r, "ADOPT", vector, 60, sign_key=VECTOR_KEY) == b"OK"
    assert pset(r, vector, b"n", b"d", VECTOR_KEY) == b"OK"
    assert pget(r, vector, b"n", VECTOR_KEY) == b"d"
    for position in (3, 40, 57):
        other = bytearray(vector)
        other[position] = ord("1") if other[position] == ord("0") else ord("0")
        assert error_code(sg, r, "ADOPT", bytes(other), 60, sign_key=VECTOR_KEY) == "BADSIGNATURE"
    assert error_code(sg, r, "ADOPT", vector, 60, sign_key=OTHER_KEY) == "BADSIGNATURE"
    assert r.keys() == [vector]


def test_an_adopted_session_is_as_a_started_one(r, token):
    assert sg(r, "ADOPT", token, 100) == b"OK"
    assert 95_000 < r.pttl(token) <= 100_000
    assert r.type(token) == b"sgsession"
    assert payloads(r, token) == {}
    about = info(r, token)
    assert (about["idle"], about["deadline"]) == (100_000, 0)
    assert pset(r, token, b"n", b"d") == b"OK"
    assert expire(r, token, LARGEST_TTL) == b"OK"
    assert end(r, token) == b"OK"
    assert sg(r, "ADOPT", token, LARGEST_TTL) == b"OK"


def test_adopt_takes_a_deadline_and_payloads(r, token):
    options = "MAXTTL", 500, "PAYLOADS", 2, b"a", b"1", b"\0", b"2"
    assert sg(r, "ADOPT", token, 1000, *options) == b"OK"
    about = info(r, token)
    assert expiry(r, token) == about["deadline"] == about["created"] + 500_000
    assert payloads(r, token) == {b"a": b"1", b"\0": b"2"}


def test_a_token_whose_session_lives_is_busy(server, r, token):
    assert sg(r, "ADOPT", token, 60, "PAYLOADS", 1, b"n", b"first") == b"OK"
    before = server.sessions()
    with Stream(server) as stream:
        for rest in ((60,), (0,), (60, "PAYLOADS", 1, b"n", b"second")):
            assert error_code(sg, r, "ADOPT", token, *rest) == "BUSYTOKEN"
        assert stream.commands() == []
    assert server.sessions() == before
    started = start(r)
    assert error_code(sg, r, "ADOPT", started, 60) == "BUSYTOKEN"


def test_a_token_is_free_again_when_its_session_is_over(r, token):
    sg(r, "ADOPT", token, 60, "PAYLOADS", 1, b"n", b"d")
    end(r, token)
    assert sg(r, "ADOPT", token, 60) == b"OK"
    assert payloads(r, token) == {}
    r.pexpire(token, 1)
    wait_for(lambda: error_code(sg, r, "TTL", token) == "NOSESSION", 5, "the session is over")
    assert sg(r, "ADOPT", token, 60) == b"OK"


def test_adopt_with_ttl_0_checks_everything_and_stores_nothing(server, r, token):
    with Stream(server) as stream:
        assert sg(r, "ADOPT", token, 0, "MAXTTL", 5, "PAYLOADS", 1, b"n", b"d") == b"OK"
        assert error_code(sg, r, "ADOPT", token, 0, "MAXTTL", 0) == "ERR"
        assert stream.commands() == []
    assert r.dbsize() == 0
    assert error_code(sg, r, "TTL", token) == "NOSESSION"


def test_a_key_of_another_type_is_not_adopted(r, token):
    r.set(token, "x")
    assert error_code(sg, r, "ADOPT", token, 60) == "WRONGTYPE"
    assert error_code(sg, r, "ADOPT", token, 0) == "WRONGTYPE"
    assert r.get(token) == b"x"


def test_the_token_that_was_rotated_away_is_busy_as_long_as_it_works(r, token):
    sg(r, "ADOPT", token, 60)
    new = sg(r, "ROTATE", token, "GRACE", 100)
    assert error_code(sg, r, "ADOPT", token, 60) == "BUSYTOKEN"
    assert pset(r, token, b"n", b"d") == b"OK"
    sg(r, "END", token)
    assert sg(r, "ADOPT", token, 60) == b"OK"
    assert payloads(r, token) == {}
    assert error_code(sg, r, "TTL", new) == "NOSESSION"


def test_a_token_that_was_rotated_without_grace_is_free(r, token):
    sg(r, "ADOPT", token, 60)
    new = sg(r, "ROTATE", token)
    assert sg(r, "ADOPT", token, 60, "PAYLOADS", 1, b"n", b"of the second") == b"OK"
    assert payloads(r, new) == {}


def test_many_clients_that_adopt_one_token_get_one_session(server, r, token):
    with server.wire() as one, server.wire() as other:
        for wire in (one, other):
            for n in range(50):
                wire.send("SESSIONGATE.ADOPT", KEY, token, 60, "PAYLOADS", 1, b"n", b"%d" % n)
        replies = [wire.read() for wire in (one, other) for _ in range(50)]
    assert replies.count("OK") == 1
    assert {reply.code for reply in replies if reply != "OK"} == {"BUSYTOKEN"}
    assert r.dbsize() == 1
