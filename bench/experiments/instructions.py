"""What the server executes for a command: instructions."""

import functools
import statistics

import measure
from findings import Bar, Skip, Table
from measure import Mode, Settings, load
from server import CallgrindServer, PerfServer, perf_refusal

from experiments.common import NAME, SIGN_KEY, TTL, hashes, started, text_of, thousands

MODE = Mode("pipelined", 1, 16)
DATA = text_of(100)

# What is counted on each kind of keys: a name, what is there before, and the command. "warm" keys
# have had the same command before, "new" ones have not, and "none" are there at first.
COUNTED = {
    "sessions": [
        ("PING", "warm", ["PING"]),
        ("PGET", "warm", ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME]),
        ("PSET", "warm", ["SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME, DATA]),
        ("EXPIRE of a session", "warm", ["SESSIONGATE.EXPIRE", SIGN_KEY, "__key__", TTL]),
        ("END", "new", ["SESSIONGATE.END", SIGN_KEY, "__key__"]),
        ("START", "none", ["SESSIONGATE.START", SIGN_KEY, TTL])],
    "null keys": [
        ("NULL.NOTHING", "warm", ["NULL.NOTHING", SIGN_KEY, "__key__", NAME]),
        ("NULL.GET", "warm", ["NULL.GET", SIGN_KEY, "__key__", NAME]),
        ("NULL.SET", "warm", ["NULL.SET", SIGN_KEY, "__key__", NAME, DATA]),
        ("NULL.EXPIRE", "warm", ["NULL.EXPIRE", SIGN_KEY, "__key__", TTL]),
        ("NULL.END", "new", ["NULL.END", SIGN_KEY, "__key__"]),
        ("NULL.START", "none", ["NULL.START", SIGN_KEY, TTL])],
    "hashes": [
        ("HGET", "warm", ["HGET", "__key__", NAME]),
        ("HSET", "warm", ["HSET", "__key__", NAME, DATA]),
        ("EXPIRE", "warm", ["EXPIRE", "__key__", TTL]),
        ("UNLINK", "new", ["UNLINK", "__key__"]),
        ("SET EX", "none", ["SET", "__key__", "1", "EX", TTL]),
        ("GET", "warm", ["GET", "__key__"])]}  # the strings of the line above

NO_SIGNATURE = "START without its SHA-256"  # counted with START, by callgrind
COMPARED = [("PGET", "NULL.GET", "HGET"), ("PGET", "NULL.GET", "GET"), ("PSET", "NULL.SET", "HSET"),
            ("EXPIRE of a session", "NULL.EXPIRE", "EXPIRE"), ("END", "NULL.END", "UNLINK"),
            ("START", "NULL.START", "SET EX"), (NO_SIGNATURE, "NULL.START", "SET EX")]
BARS = {"PGET": 6_850, "PSET": 10_700, "EXPIRE of a session": 11_100, "END": 11_250,
        NO_SIGNATURE: 15_200}


def fill(server, kind, number, keys):
    """Make that many keys of a kind with 100 bytes each, and no others; their names go to a file."""
    server.call("FLUSHALL")
    if kind == "sessions":
        started(server, number, keys, payloads=1, data=DATA)
    elif kind == "null keys":
        load(server, MODE, ["NULL.START", SIGN_KEY, TTL], output=keys)(number)
        load(server, MODE, ["NULL.SET", SIGN_KEY, "__key__", NAME, DATA], keys)(number)
    else:
        started(server, number, keys)
        server.call("FLUSHALL")
        hashes(server, number, keys, 0, data=DATA)


def counts_of(server, number, keys):
    """{name: instructions for one command}, over that many, each on a key of its own."""
    counts = {}
    for kind, commands in COUNTED.items():
        fill(server, kind, number, keys)
        for name, before, command in commands:
            measure.log.progress(f"instructions: {name}")
            run = load(server, MODE, command, keys)
            if before == "warm":
                run(number // 4)
            elif before == "new":
                fill(server, kind, number, keys)
            else:
                server.call("FLUSHALL")
            counts[name] = server.counted(functools.partial(run, number)) / number
            if name == "START" and isinstance(server, CallgrindServer):
                signing = server.spent_in("crypto_auth_hmacsha256_") / number
                if signing:  # libsodium's: it is our own code where there are instructions for it
                    counts[NO_SIGNATURE] = counts[name] - signing
    return counts


def median_counts(counter, number, starts, keys):
    """The same over some starts of the server: each draws a seed for its hash tables."""
    every, tool = [], counter.__name__.removesuffix("Server").lower()
    for start in range(starts):
        with counter(modules=("sessiongate", "null")) as server:
            every.append(counts_of(server, number, keys))
        for name, count in every[-1].items():
            measure.log.figure(name, f"instructions by {tool}", f"{count:.0f}", start)
    return {name: statistics.median(counts[name] for counts in every) for name in every[0]}


def meaning(ours, theirs, counts, limit):
    """A row's figures for somebody who has a server to fill."""
    def in_place(count):
        return f"{100 * counts[theirs] / count:.0f}"
    return (f"{in_place(counts[ours])} in the time of 100 {theirs}; "
            f"no module could do more than {in_place(counts[limit])}")


def table(title, counts, note):
    rows = [[f"{ours} / {theirs}", thousands(counts[ours]), thousands(counts[limit]),
             thousands(counts[theirs]), f"{counts[limit] / counts[ours]:.2f}",
             f"{counts[theirs] / counts[ours]:.2f}", meaning(ours, theirs, counts, limit)]
            for ours, limit, theirs in COMPARED if ours in counts]
    return Table(title, ["", "ours", "null module", "theirs", "null / ours", "theirs / ours",
                         "what a server can do"], rows,
                 f"{note} A PING takes {counts['PING']:,.0f}, a module's command of PGET's arguments "
                 f"that does nothing {counts['NULL.NOTHING']:,.0f}.")


def instructions(scratch):
    """Instructions

    What the server executes for one command: steady where times are not. One client, pipelined,
    each command on its own key with 100 bytes. The null module ([null.c](null.c)) does the least
    that a command of the same shape can do as a module: it opens the declared key, replicates,
    signals and notifies as SessionGate does, and checks, signs and sorts nothing. What lies between
    it and the server's own command is the price of being a module; what lies above it is
    SessionGate's.
    """
    number = 2_000 if Settings.quick else 4_000
    keys = scratch / "keys"
    counts = median_counts(CallgrindServer, number, 1 if Settings.quick else 3, keys)
    yield table(
        "Server instructions for a command, by callgrind", counts,
        f"What the server and its libraries do in user mode, without the kernel, and with "
        f"signatures (START makes one) as on a processor without SHA instructions, which valgrind "
        f"does not know. Over {number:,} commands.")
    for name, limit in BARS.items():
        if name in counts:
            yield Bar(f"{name}, by callgrind", counts[name], limit, at_least=False,
                      unit=" instructions")
        else:
            yield Skip(name, "the profile does not tell its signature apart")
    refusal = perf_refusal()
    if refusal:
        yield Skip("instructions by perf stat -e instructions -p", refusal)
        return
    counts = median_counts(PerfServer, 100_000, 1, keys)
    yield table("The same by perf, with the kernel's part", counts, "Over 100,000 commands.")
