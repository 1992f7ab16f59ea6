"""Against what is done today without a module: script, application."""

import redis

from findings import Plot, Table
from measure import PIPELINED, Settings, benchmark, compare, load
from server import Server

from experiments.common import (HEADER, NAME, SIGN_KEY, TTL, hot, key_file, modes, rival_scripts,
                                row, started, text_of)

DATA = text_of(100)


class Script:
    """The script's sessions beside ours: one of each in database 0, and many, ours in database 1 and
    its in database 2. Each method compares one command with its script."""

    def __init__(self, server, scratch):
        self.server = server
        self.number = 2_000 if Settings.quick else 8_000
        self.sha = rival_scripts(server)
        self.token, _, _ = hot(server, DATA)
        self.rival = server.call("EVALSHA", self.sha["start"], 0, SIGN_KEY, TTL,
                                 "abcdefghijklmnop").decode()
        assert len(self.rival) == len(self.token)
        server.call("EVALSHA", self.sha["pset"], 1, self.rival, SIGN_KEY, NAME, DATA)
        self.ids, self.tokens, self.rivals = (scratch / name for name in ("ids", "tokens", "rivals"))
        self.ids.write_text("".join(f"{index:016}\n" for index in range(self.number)))

    def fill(self, *_):
        """Make the many sessions anew."""
        self.server.flush(1, 2)
        started(self.server, self.number, self.tokens, 1, payloads=1, data=DATA)
        load(self.server, PIPELINED, self.script("start", 0, SIGN_KEY, TTL, "__key__"), self.ids, 2,
             output=self.rivals)(self.number)
        load(self.server, PIPELINED, self.script("pset", 1, "__key__", SIGN_KEY, NAME, DATA),
             self.rivals, 2)(self.number)

    def script(self, name, *arguments):
        return ["EVALSHA", self.sha[name], *arguments]

    def start(self, mode):
        return compare("START", mode, {
            "START": benchmark(self.server, mode, ["SESSIONGATE.START", SIGN_KEY, TTL], database=1),
            "Lua": benchmark(self.server, mode,
                             self.script("start", 0, SIGN_KEY, TTL, "abcd__rand_int__"), database=2,
                             random=2_000_000_000)},
            before=lambda name: self.server.flush(1, 2))

    def on_one(self, mode, name, *arguments):
        """A command over and over on the one session, with the arguments after its token."""
        return compare(name, mode, {
            name: benchmark(self.server, mode,
                            ["SESSIONGATE." + name, SIGN_KEY, self.token, *arguments]),
            "Lua": benchmark(self.server, mode, self.script(
                name.lower(), 1, self.rival, SIGN_KEY, *arguments))})

    def pset_and_pdel(self, mode):
        self.fill()
        return compare("PSET and PDEL", mode, {
            "PSET and PDEL": load(self.server, mode, [
                "SESSIONGATE.PSET", SIGN_KEY, "__key__", "other", DATA, ",",
                "SESSIONGATE.PDEL", SIGN_KEY, "__key__", "other"], self.tokens, 1),
            "Lua": load(self.server, mode, [
                *self.script("pset", 1, "__key__", SIGN_KEY, "other", DATA), ",",
                *self.script("pdel", 1, "__key__", SIGN_KEY, "other")], self.rivals, 2)})

    def end(self, mode):
        return compare("END", mode, {
            "END": load(self.server, mode, ["SESSIONGATE.END", SIGN_KEY, "__key__"], self.tokens, 1),
            "Lua": load(self.server, mode, self.script("end", 1, "__key__", SIGN_KEY),
                        self.rivals, 2)}, before=self.fill, operations=self.number, rounds=3)


def script(scratch):
    """Against a Lua script

    The same six operations as scripts on a hash with a TTL (bench/rival.lua, by EVALSHA). A
    server's Lua has no SHA-256: the rival signs with HMAC-SHA1 built from redis.sha1hex, compares
    it in a time that depends on the bytes, and takes its ids from the client, as a script has no
    good random numbers.
    """
    rows, lines = [], {}
    with Server() as server:
        sessions = Script(server, scratch)
        for mode in modes():
            found = [sessions.start(mode), sessions.on_one(mode, "EXPIRE", TTL),
                     sessions.on_one(mode, "PSET", NAME, DATA), sessions.on_one(mode, "PGET", NAME),
                     sessions.pset_and_pdel(mode), sessions.end(mode)]
            rows += [row(f"{each.case} / Lua", each, each.case, "Lua") for each in found]
            lines[mode.name] = ([each.case for each in found],
                                [each.speed(each.case, "Lua").median for each in found])
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
        for label, size in (("4 × 100 B", 100), ("4 × 16 KB", 16384)):
            server.flush(0)
            data = text_of(size)
            token, _, _ = hot(server, data, payloads=4)
            key = key_file(server, token)
            blobs = redis.Redis(port=server.port, db=1)
            blobs.set(token, data * 4, ex=TTL)
            ours = ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME]
            sliding = ["SESSIONGATE.TOUCH", SIGN_KEY, "__key__", "MINAGE", "60"]
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
