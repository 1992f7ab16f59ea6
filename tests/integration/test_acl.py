"""What an ACL allows: patterns apply to the token, and reading may be given alone."""

import pytest

from harness import KEY, Wire, pset, start

COMMANDS = ["START", "PSET", "PGET", "PDEL", "EXPIRE", "END"]


def permitted(server, r, *rules):
    """The commands that a user with these rules may call on a living session."""
    r.execute_command("ACL", "SETUSER", "limited", "reset", "on", "nopass", *rules)
    allowed = set()
    for command in COMMANDS:
        token = start(r)
        pset(r, token, b"n", b"d")
        arguments = {
            "START": (KEY, 60), "PSET": (KEY, token, b"n", b"d"), "PGET": (KEY, token, b"n"),
            "PDEL": (KEY, token, b"n"), "EXPIRE": (KEY, token, 60), "END": (KEY, token)}[command]
        call = ("SESSIONGATE." + command, *arguments)
        with server.wire() as wire:
            wire.call("AUTH", "limited", "x")
            reply = wire.call(*call)
            dry = r.execute_command("ACL", "DRYRUN", "limited", *call)
        if isinstance(reply, Wire.Error):
            assert reply.code == "NOPERM", reply
            assert dry != b"OK", command
        else:
            assert dry == b"OK", command
            allowed.add(command)
    return allowed


EVERYTHING, READING = set(COMMANDS), {"PGET"}


@pytest.mark.parametrize("rules, allowed", [
    (["+@all", "~*"], EVERYTHING),
    (["+@all", "~v1.*"], EVERYTHING),
    (["+@all", "%RW~v1.*"], EVERYTHING),
    (["+@all", "%R~v1.*"], {"START", "PGET"}),
    (["+@all", "~v2.*"], {"START"}),
    (["+@all", "~a*", "~v1.*"], EVERYTHING),
    (["+@all"], {"START"}),
    (["~*"], set()),
    (["~v1.*", "+sessiongate.pget"], READING),
    (["%R~v1.*", "+sessiongate.pget"], READING),
    (["~v1.*", "+@all", "-sessiongate.end"], EVERYTHING - {"END"}),
], ids=" ".join)
def test_patterns_and_commands_of_a_user_decide(server, r, rules, allowed):
    assert permitted(server, r, *rules) == allowed


def test_writing_alone_does_not_allow_to_read(server, r):
    assert "PGET" not in permitted(server, r, "+@all", "%W~v1.*")


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
    assert permitted(server, r, "~*", "+@fast") == EVERYTHING
    assert permitted(server, r, "~*", "+@all", "-@dangerous") == EVERYTHING
