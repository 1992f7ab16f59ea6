"""What experiments share: what they measure on, and how a comparison becomes a row of a table."""

import os

from measure import PIPELINED, SINGLE, Mode, Settings, load
from server import TOP

SIGN_KEY = "0123456789abcdef0123456789abcdef"
NAME = "profile"  # of the payload and of the hash's field
TTL = 3600


def bytes_of(size):
    """Payload data that does not compress."""
    return os.urandom(size)


def text_of(size):
    """Payload data that is good for a command line."""
    return os.urandom(size // 2 + 1).hex()[:size]


def hot(server, data, payloads=1):
    """One session, and a hash and a string of names as long, with data: (token, hash, string)."""
    token = server.call("SESSIONGATE.START", SIGN_KEY, TTL).decode()
    table, string = "h" + token[1:], "s" + token[1:]
    for number in range(payloads):
        server.call("SESSIONGATE.PSET", SIGN_KEY, token, payload_name(number), data)
        server.call("HSET", table, payload_name(number), data)
    server.call("EXPIRE", table, TTL)
    server.call("SET", string, data, "EX", TTL)
    return token, table, string


def started(server, number, path, database=0, payloads=0, data=None):
    """Start `number` sessions with payloads, and leave their tokens in the file `path`."""
    load(server, PIPELINED, ["SESSIONGATE.START", SIGN_KEY, 10 * TTL], database=database,
         output=path)(number)
    for index in range(payloads):
        load(server, PIPELINED, ["SESSIONGATE.PSET", SIGN_KEY, "__key__", payload_name(index)],
             path, database, data=data)(number)


def payload_name(index):
    return NAME if index == 0 else f"{NAME}{index}"


def hashes(server, number, path, database, payloads=1, data=None):
    """The same as hashes with a TTL, whose names are the tokens in the file."""
    fields = [payload_name(0)]
    for index in range(1, payloads):
        fields += [data, payload_name(index)]
    load(server, PIPELINED, ["HSET", "__key__", *fields], path, database, data=data)(number)
    load(server, PIPELINED, ["EXPIRE", "__key__", 10 * TTL], path, database)(number)


def rival_scripts(server):
    """{operation: SHA1 of its script}, loaded."""
    text = (TOP / "bench" / "rival.lua").read_text()
    parts = dict(part.split("\n", 1) for part in text.split("\n--- ")[1:])
    return {name: server.call("SCRIPT", "LOAD", parts["common"] + body).decode()
            for name, body in parts.items() if name != "common"}


def key_file(server, key):
    """A file of keys that holds this one, in the server's directory."""
    path = server.directory / f"key-{key}"
    path.write_text(key + "\n")
    return path


def modes(size=0):
    """Pipelined, and one at a time unless it has to be quick.

    Large payloads have fewer clients: what is under way at once has to be in memory.
    """
    pipelined = PIPELINED
    if size > 1024:
        pipelined = Mode("pipelined", 8 if size <= 65536 else 2, 16)
    return [pipelined] if Settings.quick else [pipelined, SINGLE]


def shown(value):
    """A ratio with its quartiles, for people."""
    return f"{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"


def thousands(value):
    return f"{value:,.0f}"


HEADER = ["", "", "ours, 1/s", "theirs, 1/s", "ratio (quartiles)", "ours, CPU µs", "theirs, CPU µs",
          "CPU ratio (quartiles)"]


def row(what, comparison, ours, theirs):
    return [what, comparison.mode.name, thousands(comparison.rate(ours)),
            thousands(comparison.rate(theirs)), shown(comparison.speed(ours, theirs)),
            f"{comparison.cpu(ours) / 1000:.2f}", f"{comparison.cpu(theirs) / 1000:.2f}",
            shown(comparison.cheapness(ours, theirs))]
