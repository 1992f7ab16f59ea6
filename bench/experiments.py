"""What is measured. Each experiment is a function that yields tables, plots and bars.

    Table    rows of text under a heading
    Bar      what the project promises, and what was measured

Sessions and what they are compared with have keys of one length (84), the same payloads and the same
clients, and are in one server process where nothing else is said.
"""

import dataclasses
import os
import pathlib
import statistics
import time

import measure
from measure import PARALLEL, PIPELINED, SINGLE, Mode, Settings, benchmark, compare, load
from server import CallgrindServer, PerfServer, Server, perf_refusal

SIGN_KEY = "0123456789abcdef0123456789abcdef"
NAME = "profile"  # of the payload and of the hash's field
TTL = 3600


@dataclasses.dataclass
class Table:
    title: str
    header: list
    rows: list
    note: str = ""


@dataclasses.dataclass
class Plot:
    """Lines, {label: ([x, ...], [y, ...])}; or columns where the x are names."""
    name: str  # of the file
    title: str
    x: str
    y: str
    lines: dict
    log_x: bool = False
    log_y: bool = False


@dataclasses.dataclass
class Bar:
    """A promise: `value` is at least (or at most) `limit`."""
    what: str
    value: float
    limit: float
    at_least: bool = True
    goal: float = None
    unit: str = ""

    @property
    def met(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclasses.dataclass
class Skip:
    what: str
    why: str


# What experiments share --------------------------------------------------------------------------

def bytes_of(size):
    """Payload data that does not compress."""
    return os.urandom(size).replace(b"\0", b"0")


def text_of(size):
    """Payload data that is good for a command line."""
    return os.urandom(size // 2 + 1).hex()[:size]


def hot(server, data, payloads=1):
    """One session, and a hash and a string of names as long, with data: (token, hash, string)."""
    token = server.call("SESSIONGATE.START", SIGN_KEY, TTL).decode()
    table, string = "h" + token[1:], "s" + token[1:]
    for number in range(payloads):
        name = NAME if number == 0 else f"{NAME}{number}"
        server.call("SESSIONGATE.PSET", SIGN_KEY, token, name, data)
        server.call("HSET", table, name, data)
    server.call("EXPIRE", table, TTL)
    server.call("SET", string, data, "EX", TTL)
    return token, table, string


def started(server, number, path, database=0, payloads=0, data=None):
    """Start `number` sessions, give each its payloads, and leave their tokens in the file `path`."""
    load(server, PIPELINED, ["SESSIONGATE.START", SIGN_KEY, 10 * TTL], database=database,
         output=path)(number)
    for index in range(payloads):
        load(server, PIPELINED,
             ["SESSIONGATE.PSET", SIGN_KEY, "__key__", payload_name(index), data],
             keys=path, database=database)(number)


def payload_name(index):
    return NAME if index == 0 else f"{NAME}{index}"


def hashes(server, number, path, database, payloads=1, data=None):
    """The same as hashes with a TTL, whose names are the tokens in the file."""
    fields = []
    for index in range(payloads):
        fields += [payload_name(index), data]
    load(server, PIPELINED, ["HSET", "__key__", *fields], keys=path, database=database)(number)
    load(server, PIPELINED, ["EXPIRE", "__key__", 10 * TTL], keys=path, database=database)(number)


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


# The six commands --------------------------------------------------------------------------------

def core(scratch):
    """The six commands on payloads of 100 bytes"""
    rows, bars = [], []
    data = text_of(100)
    with Server() as server:
        token, table, string = hot(server, data)
        for mode in (PIPELINED, PARALLEL, SINGLE):
            read = compare("read", mode, {
                "PGET": benchmark(server, mode, ["SESSIONGATE.PGET", SIGN_KEY, token, NAME]),
                "HGET": benchmark(server, mode, ["HGET", table, NAME]),
                "GET": benchmark(server, mode, ["GET", string])})
            write = compare("write", mode, {
                "PSET": benchmark(server, mode, ["SESSIONGATE.PSET", SIGN_KEY, token, NAME, data]),
                "HSET": benchmark(server, mode, ["HSET", table, NAME, data])})
            start = compare("start", mode, {
                "START": benchmark(server, mode, ["SESSIONGATE.START", SIGN_KEY, TTL], database=1),
                "SET EX": benchmark(server, mode,
                                    ["SET", "v1." + 69 * "x" + "__rand_int__", "1", "EX", TTL],
                                    random=2_000_000_000, database=2)},
                before=lambda name: server.flush(1, 2))
            expire = compare("expire", mode, {
                "EXPIRE (ours)": benchmark(server, mode,
                                           ["SESSIONGATE.EXPIRE", SIGN_KEY, token, TTL]),
                "EXPIRE": benchmark(server, mode, ["EXPIRE", table, TTL])})
            finish = ended(server, mode, scratch, data)
            rows += [row("PGET / HGET", read, "PGET", "HGET"), row("PGET / GET", read, "PGET", "GET"),
                     row("PSET / HSET", write, "PSET", "HSET"),
                     row("START / SET EX", start, "START", "SET EX"),
                     row("EXPIRE / EXPIRE", expire, "EXPIRE (ours)", "EXPIRE"),
                     row("END / UNLINK", finish, "END", "UNLINK")]
            if mode is PIPELINED:
                bars += [Bar("PGET / HGET, pipelined", read.speed("PGET", "HGET").median, 0.80,
                             goal=0.87),
                         Bar("PSET / HSET, pipelined", write.speed("PSET", "HSET").median, 0.55,
                             goal=0.75),
                         Bar("START / SET EX, pipelined", start.speed("START", "SET EX").median,
                             0.65, goal=0.80)]
            if mode is SINGLE:
                bars += [Bar("PGET / HGET, one at a time", read.speed("PGET", "HGET").median, 0.97)]
    yield Table("Speed, payload of 100 bytes", HEADER, rows)
    yield from bars


def ended(server, mode, scratch, data):
    """END against UNLINK: each run ends sessions, or hashes, that were made right before."""
    number = {PIPELINED: 60_000, PARALLEL: 20_000, SINGLE: 5_000}[mode]
    number = number // 4 if Settings.quick else number
    tokens = scratch / "tokens"

    def before(name):
        server.flush(1, 2)
        started(server, number, tokens, 1, payloads=1 if name == "END" else 0, data=data)
        if name == "UNLINK":
            hashes(server, number, tokens, 2, data=data)
    return compare("end", mode, {
        "END": load(server, mode, ["SESSIONGATE.END", SIGN_KEY, "__key__"], tokens, 1),
        "UNLINK": load(server, mode, ["UNLINK", "__key__"], tokens, 2)},
        before=before, operations=number, rounds=max(3, Settings.pairs // 2))


# Instructions ------------------------------------------------------------------------------------

def instructions(scratch):
    """Instructions of the server for a command"""
    refusal = perf_refusal()
    if refusal:
        yield Skip("instructions by perf stat -e instructions -p", refusal)
    counter = CallgrindServer if refusal else PerfServer
    number = 4_000 if refusal else 100_000
    data = text_of(100)
    mode = Mode("pipelined", 1, 16)
    rows = []
    with counter() as server:
        tokens, names = scratch / "tokens", scratch / "names"

        def count(command, fill=None):
            measure.log.progress(f"instructions: {' '.join(map(str, command))[:30]}")
            run = load(server, mode, command, keys=tokens)
            if fill:
                fill()
            else:
                run(number // 4)  # warm: the sign key's fingerprint, buffers
            counted = server.counted(lambda: run(number)) / number
            measure.log.figure(command[0], "instructions per command", f"{counted:.0f}")
            return counted

        def fill(name):
            server.call("FLUSHALL")
            if name == "sessions":
                started(server, number, tokens, payloads=1, data=data)
            elif name == "hashes":
                started(server, number, tokens)
                server.call("FLUSHALL")
                hashes(server, number, tokens, 0, data=data)
            elif name == "names":
                started(server, number, tokens)
                server.call("FLUSHALL")

        fill("sessions")
        counts = {"PING": count(["PING"])}
        for name, command in {"PGET": ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME],
                              "PSET": ["SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME, data],
                              "EXPIRE (ours)": ["SESSIONGATE.EXPIRE", SIGN_KEY, "__key__", TTL]
                              }.items():
            counts[name] = count(command)
        counts["END"] = count(["SESSIONGATE.END", SIGN_KEY, "__key__"], lambda: fill("sessions"))
        counts["START"] = count(["SESSIONGATE.START", SIGN_KEY, TTL],
                                lambda: server.call("FLUSHALL"))
        fill("hashes")
        for name, command in {"HGET": ["HGET", "__key__", NAME],
                              "HSET": ["HSET", "__key__", NAME, data],
                              "EXPIRE": ["EXPIRE", "__key__", TTL]}.items():
            counts[name] = count(command)
        counts["UNLINK"] = count(["UNLINK", "__key__"], lambda: fill("hashes"))
        counts["SET EX"] = count(["SET", "__key__", "1", "EX", TTL], lambda: fill("names"))
        counts["GET"] = count(["GET", "__key__"])
    for ours, theirs in (("PGET", "HGET"), ("PGET", "GET"), ("PSET", "HSET"), ("START", "SET EX"),
                         ("EXPIRE (ours)", "EXPIRE"), ("END", "UNLINK")):
        rows.append([f"{ours} / {theirs}", thousands(counts[ours]), thousands(counts[theirs]),
                     f"{counts[ours] - counts[theirs]:+,.0f}", f"{counts[theirs] / counts[ours]:.2f}"])
    how = ("Counted by callgrind: what the server and its libraries do in user mode; the kernel is not "
           "included." if refusal else "Counted by perf: the kernel's part is included.")
    yield Table("Server instructions for a command (pipelined, 100 bytes)",
                ["", "ours", "theirs", "difference", "theirs / ours"], rows,
                f"{how} Over {number:,} commands each, on {number:,} keys. A PING, for comparison: "
                f"{counts['PING']:,.0f}.")


# Memory ------------------------------------------------------------------------------------------

def memory(scratch):
    """Memory of a session"""
    number = 20_000 if Settings.quick else 100_000
    data = text_of(100)
    rows, bars = [], []
    tokens = scratch / "tokens"
    with Server() as server:
        started(server, number, tokens)

        def grown(fill):
            measure.log.progress("memory")
            server.call("FLUSHALL", "SYNC")
            time.sleep(0.3)  # clients that left are freed
            base = server.used_memory()
            fill()
            return (server.used_memory() - base) / number

        for payloads in (0, 1, 4, 16):
            ours = grown(lambda: started(server, number, scratch / "other", payloads=payloads,
                                         data=data))
            if payloads:
                table = grown(lambda: hashes(server, number, tokens, 0, payloads, data))
            string = grown(lambda: load(
                server, PIPELINED, ["SET", "__key__", data * payloads, "EX", TTL],
                keys=tokens)(number))
            for name, value in (("session", ours), ("hash", table if payloads else 0),
                                ("string", string)):
                measure.log.figure(f"{payloads} payloads of 100 bytes", f"bytes, {name}",
                                   f"{value:.1f}")
            rows.append([payloads, f"{ours:.0f}", f"{table:.0f}" if payloads else "-",
                         f"{string:.0f}"])
            if payloads == 1:
                bars.append(Bar("bytes a session with 1 payload, against HSET + EXPIRE", ours, table,
                                at_least=False, goal=380, unit=" B"))
    yield Table(f"Memory, bytes a session (used_memory, {number:,} sessions, payloads of 100 bytes)",
                ["payloads", "session", "hash + TTL", "string + TTL"], rows,
                "The string holds all payloads as one blob, as an application would serialise them.")
    yield from bars


EXPERIMENTS = {"core": core, "instructions": instructions, "memory": memory}
