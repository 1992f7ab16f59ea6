"""Tokens of the second form: v2.<id>.<signature><pad>, beside those of the first."""

import hashlib
import hmac

import pytest

from features import ALL, OTHER_KEY, sg, signed_v2
from harness import KEY, end, error_code, pget, pset, signature, signed, start

ID = b"0123456789abcdefGHIJKL"


@pytest.fixture
def token(r):
    token = sg(r, "START", 1000, "FORMAT", "v2")
    pset(r, token, b"n", b"d")
    return token


@pytest.mark.parametrize("command", ALL)
def test_every_command_takes_a_v2_token(r, token, command):
    call = (command, token, *ALL[command])
    assert error_code(sg, r, *call, sign_key=OTHER_KEY) == "BADSIGNATURE"
    assert error_code(sg, r, *call, sign_key=b"") == "ERR"
    sg(r, *call)
    if command not in ("END", "ROTATE"):
        assert sg(r, "TTL", token) in (60, 1000)


@pytest.mark.parametrize("command", ALL)
def test_a_changed_pad_finds_nothing(server, r, token, command):
    before = server.sessions()
    for changed in (token[:-3] + b"aaa" if token[-3:] != b"aaa" else token[:-3] + b"bbb",
                    token[:-1] + (b"a" if token[-1:] != b"a" else b"b")):
        call = command, changed, *ALL[command]
        assert error_code(sg, r, *call) == "NOSESSION"
        assert error_code(sg, r, *call, sign_key=OTHER_KEY) == "BADSIGNATURE"
    for wrong in (b"\0", b".", b"-", b"_", b" ", b"\n", b"\xff", b"{", b"}"):
        for changed in (token[:-1] + wrong, token[:-3] + wrong + token[-2:]):
            assert error_code(sg, r, command, changed, *ALL[command]) == "BADTOKEN"
    assert server.sessions() == before


def test_a_changed_character_of_the_rest_is_refused(r, token):
    for position in range(3, 58):
        changed = bytearray(token)
        changed[position] = ord("1") if changed[position] != ord("1") else ord("2")
        expected = "BADTOKEN" if position == 25 else "BADSIGNATURE"
        assert error_code(pget, r, bytes(changed), b"n") == expected, position
    for position in range(26, 58):
        changed = bytearray(token)
        changed[position] = ord("g")
        assert error_code(pget, r, bytes(changed), b"n") == "BADTOKEN", position
    assert error_code(pget, r, token.upper(), b"n") == "BADTOKEN"


def test_two_pads_of_one_id_are_two_sessions(r):
    one, other = signed_v2(KEY, ID, b"aaa"), signed_v2(KEY, ID, b"bbb")
    sg(r, "ADOPT", one, 60, "PAYLOADS", 1, b"n", b"one")
    sg(r, "ADOPT", other, 60, "PAYLOADS", 1, b"n", b"other")
    assert (pget(r, one, b"n"), pget(r, other, b"n")) == (b"one", b"other")
    end(r, one)
    assert pget(r, other, b"n") == b"other"


def mac(text, sign_key=KEY):
    return hmac.new(sign_key, text, hashlib.sha256).hexdigest().encode()


def test_a_signature_of_one_form_is_none_of_the_other(r):
    """Whatever either form signs of an id, the other does not take."""
    id16, id22 = ID[:16], ID
    crossed = {
        b"v1." + id16 + b"." + mac(b"v2." + id16): "BADSIGNATURE",
        b"v1." + id16 + b"." + mac(b"v1." + id16): "BADSIGNATURE",
        b"v2." + id22 + b"." + mac(id22)[:32] + b"abc": "BADSIGNATURE",
        b"v2." + id22 + b"." + mac(id16)[:32] + b"abc": "BADSIGNATURE",
        b"v2." + id22 + b"." + mac(b"v1." + id22)[:32] + b"abc": "BADSIGNATURE",
        b"v2." + id22 + b"." + mac(b"v2." + id22)[32:] + b"abc": "BADSIGNATURE",
        b"v2." + id22 + b"." + mac(b"v2." + id22 + b".")[:32] + b"abc": "BADSIGNATURE",
        b"v2." + id16 + b"." + mac(id16): "BADTOKEN",
        b"v2." + id16 + b"." + mac(b"v2." + id16): "BADTOKEN",
        b"v1." + id22 + b"." + mac(id22)[:32] + b"abc": "BADTOKEN",
        b"v1." + id22 + b"." + mac(b"v2." + id22)[:32] + b"abc": "BADTOKEN",
        b"v1." + id22 + b"." + mac(b"v2." + id22): "BADTOKEN",
        b"v1." + id22 + b"." + mac(id22): "BADTOKEN",
        b"v2." + id22 + b"." + mac(b"v2." + id22): "BADTOKEN",
        b"v2." + id22 + b"." + mac(b"v2." + id22)[:32]: "BADTOKEN",
        # An id of v1 that spells what v2 signs would need a dot, and 25 characters.
        b"v1.v2." + id22[:13] + b"." + mac(b"v2." + id22[:13]): "BADTOKEN",
        b"v1.v2." + id22 + b"." + mac(b"v2." + id22): "BADTOKEN",
    }
    for token, expected in crossed.items():
        for command, rest in {**ALL, "ADOPT": (60,)}.items():
            assert error_code(sg, r, command, token, *rest) == expected, token
    assert r.dbsize() == 0


def test_a_session_of_one_form_opens_by_no_token_of_the_other(r):
    one = start(r)
    other = sg(r, "START", 60, "FORMAT", "v2")
    for token in (b"v2" + one[2:], b"v1" + other[2:], b"v2" + one[2:61], other + b"0" * 23):
        assert error_code(pget, r, token, b"n") == "BADTOKEN"
    assert signed(KEY, one[3:19]) == one and signature(KEY, one[3:19]) == one[20:]
