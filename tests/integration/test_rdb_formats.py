"""An RDB file of each format that is or will be released loads; others are refused.

The files in rdb/ were written by Redis 7.0.15, whose files every server here reads:

    sgsession-3.rdb   format 3 of "sgsession", format 1 of "sgrotated"

and made by rdb/make, which says what is in them. They are never made again: a new format gets a
file of its own.
"""

import pathlib
import shutil

import pytest

from features import OTHER_KEY, info, payloads, sg
from harness import KEY, LARGEST_TTL, end, error_code, expire, pget, pset, wait_for

FILES = pathlib.Path(__file__).resolve().parent / "rdb"


def load(server, file, bytes=None):
    """Start the server on that file. With `bytes`, on these, and it is not waited for."""
    target = server.directory / "dump.rdb"
    if bytes is None:
        shutil.copy(FILES / file, target)
        return server.start().client()
    target.write_bytes(bytes)
    server.start(wait=False)


def tokens(r):
    """What the keys of the file are, by the payload that names them, or by their type."""
    found = {}
    for token in r.keys():
        if r.type(token) == b"sgrotated":
            found["alias"] = token
        else:
            found[payloads(r, token).get(b"is", b"empty").decode()] = token
    return found


def check_contents(r, found):
    """What each file holds."""
    assert payloads(r, found["empty"]) == {}
    assert payloads(r, found["small"]) == {b"is": b"small", b"\0": b"\r\n"}
    many = payloads(r, found["many"])
    assert many == {b"is": b"many", **{b"name %d" % n: b"data %d" % n for n in range(1000)}}
    large = payloads(r, found["large"])
    assert large == {b"is": b"large", b"n" * 200: bytes(range(256)) * 1000}
    for token in found.values():
        assert 3_000_000_000 < sg(r, "TTL", token) <= LARGEST_TTL
        assert error_code(pget, r, token, b"is", OTHER_KEY) == "BADSIGNATURE"


def check_use(server, found):
    """Each session works as one that was just started, and is stored again."""
    r = server.client()
    for kind, token in found.items():
        assert pset(r, token, b"new", kind) == b"OK"
    r.execute_command("DEBUG", "RELOAD")
    for kind, token in found.items():
        assert pget(r, token, b"new") == kind.encode()
        assert end(r, token) == b"OK"
    assert {r.type(token) for token in r.keys()} == {b"sgrotated"}, "an alias of what is over"


def test_sessions_of_format_3_and_an_alias_load(make_server):
    server = make_server(start=False)
    r = load(server, "sgsession-3.rdb")
    found = tokens(r)
    assert len(found) == r.dbsize() == 6
    alias, successor = found.pop("alias"), found["successor"]
    assert payloads(r, alias) == payloads(r, successor) == {b"is": b"successor"}
    assert error_code(pget, r, alias, b"is", OTHER_KEY) == "BADSIGNATURE"
    assert sg(r, "ROTATE", alias, "GRACE", 1) == successor
    check_contents(r, found)
    for kind, token in found.items():
        about = info(r, token)
        assert about["created"] > 1_700_000_000_000
        if kind == "small":
            assert about["idle"] == 1_000_000
            assert about["deadline"] == about["created"] + LARGEST_TTL * 1000
        else:
            assert (about["idle"], about["deadline"]) == (LARGEST_TTL * 1000, 0)
    assert expire(r, found["small"], LARGEST_TTL) == b"OK"
    assert r.execute_command("PEXPIRETIME", found["small"]) == info(r, found["small"])["deadline"]
    assert pset(r, alias, b"through", b"the alias") == b"OK"
    assert pget(r, successor, b"through") == b"the alias"
    check_use(server, found)


# The server stores with each value the type's name and the format: nine characters of six bits
# each, then ten bits.
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def type_id(name, format):
    id = 0
    for character in name:
        id = id << 6 | ALPHABET.index(character)
    return (id << 10 | format).to_bytes(8, "big")


def with_format(name, old, new):
    """The bytes of the newest file with another format number of that type, and no checksum."""
    bytes = (FILES / "sgsession-3.rdb").read_bytes()
    assert type_id(name, old) in bytes
    return bytes.replace(type_id(name, old), type_id(name, new))[:-8] + b"\0" * 8


def test_the_file_without_its_checksum_loads(make_server):
    """So that what is refused below is refused for its format."""
    server = make_server(start=False)
    load(server, None, with_format("sgsession", 3, 3))
    server.wait_ready()
    assert server.client().dbsize() == 6


@pytest.mark.parametrize("name, format, other", [
    ("sgsession", 3, 2), ("sgsession", 3, 4), ("sgsession", 3, 1023),
    ("sgrotated", 1, 2), ("sgrotated", 1, 1023)])
def test_another_format_is_refused_and_the_log_says_why(make_server, name, format, other):
    server = make_server(start=False)
    load(server, None, with_format(name, format, other))
    wait_for(lambda: not server.alive(), 10, "the server has given up")
    assert server.process.returncode in (0, 1), "no signal"
    [line] = [line for line in server.log().splitlines() if f"format {other}" in line]
    assert f"{format}" in line.split(f"format {other}")[1], "the format that it can read"
    server.process = None


@pytest.mark.parametrize("format", [0, 2, 4, 1023])
def test_a_dump_of_another_format_is_refused_and_the_server_lives(make_server, format):
    server = make_server()
    r = server.client()
    token = sg(r, "START", 60, "PAYLOADS", 1, b"n", b"d")
    dump = r.dump(token)
    r.execute_command("DEBUG", "set-skip-checksum-validation", 1)
    assert type_id("sgsession", 3) in dump
    other = dump.replace(type_id("sgsession", 3), type_id("sgsession", format))
    name = sg(r, "START", 0)
    assert error_code(r.restore, name, 0, other) == "ERR"
    assert r.exists(name) == 0
    r.restore(name, 0, dump)
    assert f"format {format}" in server.log()
