"""Against what is done today without a module: script, application."""

import redis

from findings import Plot, Skip, Table
from measure import PIPELINED, Settings, benchmark, compare, load
from server import Server

from experiments.common import (HEADER, NAME, SIGN_KEY, TTL, hot, key_file, modes, rival_scripts,
                                row, started, text_of)


def script(scratch):
    """Against a Lua script

    The same six operations as scripts on a hash with a TTL (bench/rival.lua, by EVALSHA). A
    server's Lua has no SHA-256: the rival signs with HMAC-SHA1 built from redis.sha1hex, compares
    it in a time that depends on the bytes, and takes its ids from the client, as a script has no
    good random numbers.
    """
    data = text_of(100)
    rows, lines = [], {}
    number = 2_000 if Settings.quick else 8_000
    with Server() as server:
        sha = rival_scripts(server)
        token, _, _ = hot(server, data)
        rival = server.call("EVALSHA", sha["start"], 0, SIGN_KEY, TTL, "abcdefghijklmnop").decode()
        assert len(rival) == len(token)
        server.call("EVALSHA", sha["pset"], 1, rival, SIGN_KEY, NAME, data)
        ids, tokens, rivals = scratch / "ids", scratch / "tokens", scratch / "rivals"
        ids.write_text("".join(f"{index:016}\n" for index in range(number)))

        def fill(*_):
            server.flush(1, 2)
            started(server, number, tokens, 1, payloads=1, data=data)
            load(server, PIPELINED, ["EVALSHA", sha["start"], 0, SIGN_KEY, TTL, "__key__"], ids, 2,
                 output=rivals)(number)
            load(server, PIPELINED, ["EVALSHA", sha["pset"], 1, "__key__", SIGN_KEY, NAME, data],
                 rivals, 2)(number)

        for mode in modes():
            def pair(name, ours, theirs, **options):
                return compare(name, mode, {
                    name: benchmark(server, mode, ["SESSIONGATE." + name, SIGN_KEY, *ours],
                                    database=1 if name == "START" else 0),
                    "Lua": benchmark(server, mode, ["EVALSHA", sha[name.lower()], *theirs],
                                     database=2 if name == "START" else 0, **options)},
                    before=lambda name: server.flush(1, 2))
            found = [pair("START", [TTL], [0, SIGN_KEY, TTL, "abcd__rand_int__"],
                          random=2_000_000_000),
                     pair("EXPIRE", [token, TTL], [1, rival, SIGN_KEY, TTL]),
                     pair("PSET", [token, NAME, data], [1, rival, SIGN_KEY, NAME, data]),
                     pair("PGET", [token, NAME], [1, rival, SIGN_KEY, NAME])]
            fill()
            found += [
                     compare("PDEL", mode, {
                         "PDEL": load(server, mode, [
                             "SESSIONGATE.PSET", SIGN_KEY, "__key__", "other", data, ",",
                             "SESSIONGATE.PDEL", SIGN_KEY, "__key__", "other"], tokens, 1),
                         "Lua": load(server, mode, [
                             "EVALSHA", sha["pset"], 1, "__key__", SIGN_KEY, "other", data, ",",
                             "EVALSHA", sha["pdel"], 1, "__key__", SIGN_KEY, "other"], rivals, 2)}),
                     compare("END", mode, {
                         "END": load(server, mode, ["SESSIONGATE.END", SIGN_KEY, "__key__"],
                                     tokens, 1),
                         "Lua": load(server, mode, ["EVALSHA", sha["end"], 1, "__key__", SIGN_KEY],
                                     rivals, 2)}, before=fill, operations=number, rounds=3)]
            for comparison in found:
                what = "PSET and PDEL" if comparison.case == "PDEL" else comparison.case
                rows.append(row(f"{what} / Lua", comparison, comparison.case, "Lua"))
            lines[mode.name] = ([comparison.case for comparison in found],
                                [comparison.speed(comparison.case, "Lua").median
                                 for comparison in found])
    yield Table("Speed against a Lua script", HEADER, rows)
    yield Plot("script", "Operations a second: SessionGate / a Lua script", "", "ratio, 1 is equal",
               lines, level=1)


def application(scratch):
    """Against an application

    What applications do without a module: verify the token's signature themselves, then GET or SET
    the whole session, a blob of four payloads. The client here is in C and signs as fast as the
    module does. To change one payload the application reads the blob and writes it back, without a
    lock: the later of two writers wins. A sliding expiry takes a second command; for SessionGate
    that is TOUCH … MINAGE 60, which writes at most once a minute.
    """
    rows, lines = [], {}
    with Server() as server:
        touch = server.has_command("SESSIONGATE.TOUCH")
        if not touch:
            yield Skip("TOUCH", "the module does not have it; SESSIONGATE.EXPIRE is in its place")
        for label, size in (("4 × 100 B", 100), ("4 × 16 KB", 16384)):
            server.flush(0)
            data = text_of(size)
            token, _, _ = hot(server, data, payloads=4)
            key = key_file(server, token)
            blobs = redis.Redis(port=server.port, db=1)
            blobs.set(token, data * 4, ex=TTL)
            ours = ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME]
            sliding = (["SESSIONGATE.TOUCH", SIGN_KEY, "__key__", "MINAGE", "60"] if touch
                       else ["SESSIONGATE.EXPIRE", SIGN_KEY, "__key__", TTL])
            for mode in modes(size * 4):
                found = {
                    "read one payload": (ours, None, ["GET", "__key__"], None),
                    "read one payload, sliding": ([*ours, ",", *sliding], None,
                                      ["GET", "__key__", ",", "EXPIRE", "__key__", TTL], None),
                    "change one payload": (
                        ["SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME], data.encode(),
                        ["GET", "__key__", ",", "SETEX", "__key__", TTL], (data * 4).encode())}
                for what, (our_command, our_data, their_command, their_data) in found.items():
                    compared = compare(f"{what}, {label}", mode, {
                        "SessionGate": load(server, mode, our_command, key, data=our_data),
                        "application": load(server, mode, their_command, key, 1, verify=SIGN_KEY,
                                            data=their_data)})
                    rows.append(row(f"{what}, {label}", compared, "SessionGate", "application"))
                    line = lines.setdefault(f"{label}, {mode.name}", ([], []))
                    line[0].append(what)
                    line[1].append(compared.speed("SessionGate", "application").median)
            blobs.close()
    yield Table("Speed against verifying in the application", HEADER, rows)
    yield Plot("application", "Operations a second: SessionGate / verifying in the application", "",
               "ratio, 1 is equal", lines, level=1)
