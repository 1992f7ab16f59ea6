"""What an ACL allows: patterns apply to the token, and reading may be given alone."""

import pytest
import redis

from features import ALL
from harness import KEY, Wire, pset, signed, start

CALLS = {"START": (60,), "ADOPT": (60,), **ALL}


def permitted(server, r, *rules):
    """The commands that a user with these rules may call on a living session."""
    r.execute_command("ACL", "SETUSER", "limited", "reset", "on", "nopass", *rules)
    allowed = set()
    with server.wire() as wire:
        wire.call("AUTH", "limited", "x")
        for command, words in CALLS.items():
            r.flushall()
            token = signed() if command == "ADOPT" else start(r)
            if command not in ("START", "ADOPT"):
                pset(r, token, b"n", b"d")
            if command != "START":
                words = (token, *words)
            words = ("SESSIONGATE." + command, KEY, *words)
            dry = r.execute_command("ACL", "DRYRUN", "limited", *words)
            reply = wire.call(*words)
            if isinstance(reply, Wire.Error):
                assert reply.code == "NOPERM", reply
                assert dry != b"OK", command
            else:
                assert dry == b"OK", command
                allowed.add(command)
    return allowed


EVERYTHING, READING = set(CALLS), {"PGET", "PMGET", "PGETALL", "PTTL", "TTL", "INFO"}


@pytest.mark.parametrize("rules, allowed", [
    (["+@all", "~*"], EVERYTHING),
    (["+@all", "~v1.*"], EVERYTHING),
    (["+@all", "%RW~v1.*"], EVERYTHING),
    (["+@all", "%R~v1.*"], {"START"} | READING),
    (["+@all", "~v2.*"], {"START"}),
    (["+@all", "~a*", "~v1.*"], EVERYTHING),
    (["+@all"], {"START"}),
    (["~*"], set()),
    (["~v1.*", "+sessiongate.pget"], {"PGET"}),
    (["%R~v1.*", "+sessiongate.pget"], {"PGET"}),
    (["~v1.*", "+@all", "-sessiongate.end"], EVERYTHING - {"END"}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else f"{len(value)} allowed")
def test_patterns_and_commands_of_a_user_decide(server, r, rules, allowed):
    assert permitted(server, r, *rules) == allowed


def test_a_load_that_failed_takes_nothing_from_the_category_of_the_next(make_server, module):
    """Redis 8 leaves the category of the first behind, and refuses to add it again."""
    server = make_server(module=None)
    if server.valkey:
        pytest.skip("a parameter that is unknown ends Valkey itself: valkey-io/valkey#4630")
    r = server.client()
    with pytest.raises(redis.ResponseError):
        r.execute_command("MODULE", "LOADEX", str(module), "CONFIG", "sessiongate.nope", 1)
    if "sessiongate" not in repr(r.execute_command("MODULE", "LIST")):  # 7.0 kept it all the same
        assert r.execute_command("MODULE", "LOAD", str(module)) == b"OK"
    if b"sessiongate" in r.execute_command("ACL", "CAT"):
        assert permitted(server, r, "+@all", "~*", "-@sessiongate") == set()
        assert permitted(server, r, "+@sessiongate", "~*") == EVERYTHING


def test_writing_alone_does_not_allow_to_read(server, r):
    # What returns data needs both permissions.
    assert permitted(server, r, "+@all", "%W~v1.*") == EVERYTHING - READING - {"PPOP"}


def test_a_user_reads_and_writes_the_sessions_of_the_pattern_only(server, r):
    one, other = start(r), start(r)
    r.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "+@all", b"~" + one)
    with server.wire() as wire:
        wire.call("AUTH", "limited", "x")
        assert wire.call("SESSIONGATE.PSET", KEY, one, b"n", b"d") == "OK"
        assert wire.call("SESSIONGATE.PSET", KEY, other, b"n", b"d").code == "NOPERM"
        assert wire.call("SESSIONGATE.END", KEY, other).code == "NOPERM"
        wire.call("MULTI")
        assert wire.call("SESSIONGATE.PGET", KEY, other, b"n").code == "NOPERM"
        assert wire.call("EXEC").code == "EXECABORT"
    assert r.exists(other) == 1


def test_a_refused_user_changes_nothing(server, r):
    token = start(r)
    pset(r, token, b"n", b"d")
    before = server.sessions()
    r.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "%R~v1.*")
    with server.wire() as wire:
        wire.call("AUTH", "limited", "x")
        for call in (("PSET", KEY, token, b"n", b"x"), ("PDEL", KEY, token, b"n"),
                     ("EXPIRE", KEY, token, 9), ("END", KEY, token)):
            assert wire.call("SESSIONGATE." + call[0], *call[1:]).code == "NOPERM"
    assert server.sessions() == before


def test_the_commands_are_in_the_categories_of_their_kind(server, r):
    if server.version < (7, 2):
        pytest.skip(f"{server.name}: a module can name ACL categories since Redis 7.2")
    assert permitted(server, r, "~*", "+@read") == READING
    assert permitted(server, r, "~*", "+@write") == EVERYTHING - READING
    assert permitted(server, r, "~*", "+@fast") == EVERYTHING - {"PGETALL"}
    assert permitted(server, r, "~*", "+@slow") == {"PGETALL"}
    assert permitted(server, r, "~*", "+@all", "-@dangerous") == EVERYTHING


def test_the_category_of_the_module_has_all_of_them(server, r):
    if b"sessiongate" not in r.execute_command("ACL", "CAT"):
        pytest.skip(f"{server.name}: modules have categories since Redis 7.4 and Valkey 8.0")
    assert permitted(server, r, "~*", "+@sessiongate") == EVERYTHING
    assert permitted(server, r, "~*", "+@sessiongate", "-@write") == READING
    assert permitted(server, r, "~*", "+@all", "-@sessiongate") == set()
