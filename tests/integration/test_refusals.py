"""Which error each command beyond the six answers, which first, and that it leaves no trace."""

import pytest

from features import ALL, OTHER_KEY, sg, signed_v2
from harness import KEY, LARGEST_TTL, Stream, error_code, pset, signed, start

NEW = [command for command in ALL if command not in ("EXPIRE", "PGET", "PDEL", "END")]
NEW_AND_ADOPT = {**{command: ALL[command] for command in NEW}, "ADOPT": (60,)}

# Arguments behind the token that are refused with ERR, whatever the token is.
WRONG = {
    "PSET": [(b"", b"d"), (b"n", b""), (b"n",),
             *((b"n", b"d", *options) for options in (
                 (b"YY",), (b"",), (b"NX", b"XX"), (b"NX", b"NX"), (b"NX", b"IFEQ", b"d"),
                 (b"IFEQ", b"d", b"XX"), (b"IFEQ", b"d", b"IFEQ", b"d"), (b"IFEQ",),
                 (b"IFEQ", b""), (b"EX",), (b"PX",), (b"EX", 5, b"PX", 5), (b"EX", 5, b"EX", 5),
                 (b"PX", 5, b"PX", 5), (b"EX", 5, b"x"), (b"MAXTTL", 5), (b"TTL", 5), (b"KEEPTTL",),
                 *((word, number) for word, most in ((b"EX", LARGEST_TTL),
                                                     (b"PX", 1000 * LARGEST_TTL))
                   for number in (0, -1, most + 1, 2**63, b"", b"x", 1.5, b" 5"))))],
    "PTTL": [(), (b"",), (b"x" * 201,), (b"n", b"m")],
    "PDEL": [(), (b"",), (b"x" * 201,), (b"n", b"IFEQ"), (b"n", b"IFEQ", b""), (b"n", b"x", b"d"),
             (b"n", b"NX", b"d"), (b"n", b"IFEQ", b"d", b"IFEQ", b"d"), (b"n", b"IFEQ", b"d", b"x"),
             (b"n", b"EX", 5)],
    "PGETALL": [(b"x",)],
    "PMGET": [(), (b"",), (b"n", b""), (b"x" * 201,)],
    "PMSET": [(), (b"n",), (b"n", b"d", b"m"), (b"", b"d"), (b"n", b""), (b"n", b"d", b"", b"d")],
    "PPOP": [(), (b"",), (b"x" * 201,), (b"n", b"m")],
    "TTL": [(b"x",)],
    "INFO": [(b"x",)],
    "TOUCH": [(b"MINAGE",), (b"x",), (b"x", 5), (b"MINAGE", -1), (b"MINAGE", b""),
              (b"MINAGE", b"x"), (b"MINAGE", 1.5), (b"MINAGE", LARGEST_TTL + 1),
              (b"MINAGE", 2**63), (b"MINAGE", 5, b"x"),
              (b"MINAGE", 5, b"MINAGE", 5)],
    "ROTATE": [(b"GRACE",), (b"x",), (b"x", 5), (b"GRACE", -1), (b"GRACE", 301), (b"GRACE", b""),
               (b"GRACE", 5, b"GRACE", 5), (b"GRACE", 0, b"GRACE", 0), (b"NEWKEY",),
               (b"NEWKEY", b""),
               (b"NEWKEY", b"k", b"NEWKEY", b"k"), (b"NEWKEY", b"k", b"x"), (b"TTL",), (b"TTL", 0),
               (b"TTL", -1), (b"TTL", LARGEST_TTL + 1), (b"TTL", 5, b"TTL", 5), (b"MAXTTL",),
               (b"MAXTTL", 0), (b"MAXTTL", LARGEST_TTL + 1), (b"MAXTTL", 5, b"MAXTTL", 5),
               (b"FORMAT", b"v1"), (b"PAYLOADS", 0), (b"MINAGE", 5)],
    "ADOPT": [(), (60, b"x"), (b"x",), (-1,), (LARGEST_TTL + 1,), (60, b"MAXTTL"),
              (60, b"MAXTTL", 0), (60, b"MAXTTL", LARGEST_TTL + 1),
              (60, b"MAXTTL", 5, b"MAXTTL", 5), (60, b"FORMAT", b"v1"),
              (60, b"GRACE", 5), (60, b"TTL", 5), (60, b"x", b"y"), (60, b"PAYLOADS"),
              (60, b"PAYLOADS", -1), (60, b"PAYLOADS", b"x"), (60, b"PAYLOADS", 1, b"n"),
              (60, b"PAYLOADS", 2, b"n", b"d"), (60, b"PAYLOADS", 1, b"n", b"d", b"m"),
              (60, b"PAYLOADS", 0, b"PAYLOADS", 0), (60, b"PAYLOADS", 1, b"", b"d"),
              (60, b"PAYLOADS", 1, b"n", b""), (60, b"PAYLOADS", 2**62)],
}
# Those of them that are a wrong number of arguments, which is said before anything is looked at.
WRONG_COUNT = {
    "PSET": [(), (b"n",)], "PDEL": [(), (b"n", b"IFEQ")], "PTTL": [(), (b"n", b"m")],
    "PGETALL": [(b"x",)], "PMGET": [()],
    "PMSET": [(), (b"n",), (b"n", b"d", b"m")], "PPOP": [(), (b"n", b"m")], "TTL": [(b"x",)],
    "INFO": [(b"x",)], "ADOPT": [(), (60, b"x"), (60, b"MAXTTL"), (60, b"PAYLOADS")]}

MALFORMED = [b"v1", b"x", signed()[:-1], signed() + b"0", signed().upper(), signed_v2()[:-1],
             signed_v2() + b"0", b"v3" + signed()[2:], b"v2" + signed()[2:],
             b"v1" + signed_v2()[2:],
             signed()[:-1] + b"\0", signed_v2()[:-1] + b"\0", signed_v2()[:-1] + b"."]


@pytest.mark.parametrize("token", [signed(), signed_v2()], ids=["v1", "v2"])
@pytest.mark.parametrize("command", NEW_AND_ADOPT)
def test_the_first_check_that_fails_is_the_one_that_is_answered(r, command, token):
    good, wrong = NEW_AND_ADOPT[command], [arguments for arguments in WRONG[command]
                                           if arguments not in WRONG_COUNT.get(command, [])]

    def code(*arguments, sign_key=KEY):
        return error_code(sg, r, command, *arguments, sign_key=sign_key)
    for rest in [good, *wrong]:
        for any_token in (token, b"", b"x"):
            assert code(any_token, *rest, sign_key=b"") == "ERR"
        assert code(b"", *rest) == "ERR"
        assert code(token[:-1], *rest) == "BADTOKEN"
        assert code(token, *rest, sign_key=OTHER_KEY) == "BADSIGNATURE"
    for rest in wrong:
        assert code(token, *rest) == "ERR", rest
    if command != "ADOPT":
        assert code(token, *good) == "NOSESSION"
    r.set(token, "a string")
    assert code(token, *good) == "WRONGTYPE"
    for rest in wrong:
        assert code(token, *rest) == "ERR", rest
    assert r.get(token) == b"a string" and r.dbsize() == 1


@pytest.mark.parametrize("command", NEW_AND_ADOPT)
def test_a_malformed_token_is_badtoken(r, command):
    for token in MALFORMED:
        assert error_code(sg, r, command, token, *NEW_AND_ADOPT[command]) == "BADTOKEN", token
    assert r.dbsize() == 0


@pytest.mark.parametrize("command", WRONG)
def test_a_refused_call_leaves_no_trace(server, r, command):
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"d")
    free = signed(KEY, b"NeverStarted0000")
    before = server.sessions()
    with Stream(server) as stream:
        for arguments in WRONG[command]:
            for each in (token, free):
                assert error_code(sg, r, command, each, *arguments) == "ERR", arguments
        right = {**NEW_AND_ADOPT, "PDEL": (b"n",)}[command]
        assert error_code(sg, r, command, token, *right, sign_key=OTHER_KEY)
        assert error_code(sg, r, command, token[:-1], *right)
        assert stream.commands() == []
    assert server.sessions() == before


@pytest.mark.parametrize("command", [*WRONG_COUNT, "ROTATE", "TOUCH", "START"])
def test_a_wrong_number_of_arguments_is_said_to_be_one(server, command):
    with server.wire() as wire:
        name = "SESSIONGATE." + command
        for count in (0, 1):
            assert "wrong number of arguments" in wire.call(name, *[b""] * count)
        for rest in WRONG_COUNT.get(command, []):
            assert "wrong number of arguments" in wire.call(name, b"", b"", *rest), rest


@pytest.mark.parametrize("option", [b"x", b"MAXTTL", b"FORMAT", b"PAYLOADS", b"v2", b"5", b""])
def test_a_lone_extra_argument_of_start_is_a_wrong_number_of_arguments(server, r, option):
    with server.wire() as wire:
        for call in (("SESSIONGATE.START", KEY, 60), ("SESSIONGATE.ADOPT", KEY, signed(), 60)):
            assert "wrong number of arguments" in wire.call(*call, option)
    assert r.dbsize() == 0


def test_a_replica_refuses_every_write(server, r, replica_of):
    token = start(r)
    pset(r, token, b"n", b"d")
    replica = replica_of(server)
    before = replica.sessions()
    calls = {"PSET", "PMSET", "PDEL", "PPOP", "TOUCH", "EXPIRE", "END", "ROTATE", "ADOPT"}
    for command in calls:
        arguments = {**ALL, "ADOPT": (60,)}[command]
        assert error_code(sg, replica.client(), command, token, *arguments) == "READONLY", command
    assert error_code(sg, replica.client(), "START", 60, "MAXTTL", 60) == "READONLY"
    assert replica.sessions() == before


@pytest.mark.parametrize("command", ["START", "ADOPT", "PSET", "PMSET", "ROTATE"])
def test_a_server_without_memory_refuses_what_stores_and_does_the_rest(server, r, command):
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"d")
    r.config_set("maxmemory", 1)
    special = {"START": (60,), "ADOPT": (signed(), 60)}
    arguments = special.get(command, (token, *ALL.get(command, ())))
    assert error_code(sg, r, command, *arguments) == "OOM"
    assert sg(r, "TOUCH", token) == 1000
    assert sg(r, "PPOP", token, b"n") == b"d"
    assert sg(r, "END", token) == b"OK"
    r.config_set("maxmemory", 0)
    assert r.dbsize() == 0
