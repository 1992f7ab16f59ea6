"""The speed of the commands: core, payloads, many, durable."""

from findings import Bar, Plot, Table
from measure import PARALLEL, PIPELINED, SINGLE, Settings, benchmark, compare, load
from server import CLIENT_CORE, Server, wait_for

from experiments.common import (HEADER, NAME, SIGN_KEY, TTL, bytes_of, hashes, hot, modes,
                                payload_name, row, started, text_of)


def read(server, mode, names, rounds=None):
    token, table, string = names
    return compare("read", mode, {
        "PGET": benchmark(server, mode, ["SESSIONGATE.PGET", SIGN_KEY, token, NAME]),
        "HGET": benchmark(server, mode, ["HGET", table, NAME]),
        "GET": benchmark(server, mode, ["GET", string])}, rounds=rounds)


def write(server, mode, names, data):
    token, table, _ = names
    compared = compare("write", mode, {
        "PSET": benchmark(server, mode, ["SESSIONGATE.PSET", SIGN_KEY, token, NAME], data=data),
        "HSET": benchmark(server, mode, ["HSET", table, NAME], data=data)})
    for written in (server.call("SESSIONGATE.PGET", SIGN_KEY, token, NAME),
                    server.call("HGET", table, NAME)):
        if written != data.encode():
            raise RuntimeError(f"{len(written)} of {len(data)} bytes were written")
    return compared


def start(server, mode):
    """START against SET EX of new keys, each run in a database that is empty at first."""
    new_key = "v1." + 69 * "x" + "__rand_int__"
    return compare("start", mode, {
        "START": benchmark(server, mode, ["SESSIONGATE.START", SIGN_KEY, TTL], database=1),
        "SET EX": benchmark(server, mode, ["SET", new_key, "1", "EX", TTL],
                            random=2_000_000_000, database=2)},
        before=lambda name: server.flush(1, 2))


def expire(server, mode, names):
    token, table, _ = names
    return compare("expire", mode, {
        "EXPIRE of a session": benchmark(server, mode,
                                         ["SESSIONGATE.EXPIRE", SIGN_KEY, token, TTL]),
        "EXPIRE": benchmark(server, mode, ["EXPIRE", table, TTL])})


def end(server, mode, scratch, data, number):
    """END against UNLINK: each run ends sessions, or hashes, that were made right before."""
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


ENDED = {PIPELINED: 60_000, PARALLEL: 20_000, SINGLE: 5_000}  # sessions in one run of end()


def core(scratch):
    """The six commands

    Payloads of 100 bytes. redis-benchmark reads and writes one session over and over, and one hash
    and one string with names as long; START makes new sessions in an empty database, SET … EX new
    keys; END ends sessions that were made right before, UNLINK hashes.
    """
    rows, bars, speeds = [], [], {}
    data = text_of(100)
    with Server() as server:
        names = hot(server, data)
        for mode in (PIPELINED, SINGLE) if Settings.quick else (PIPELINED, PARALLEL, SINGLE):
            # PGET's bars are closer to what is measured than single runs are to each other.
            rounds = (2 if mode is PARALLEL else 4) * Settings.pairs
            found = {("PGET", "HGET"): read(server, mode, names, rounds=rounds)}
            found["PGET", "GET"] = found["PGET", "HGET"]
            found["PSET", "HSET"] = write(server, mode, names, data)
            found["START", "SET EX"] = start(server, mode)
            found["EXPIRE of a session", "EXPIRE"] = expire(server, mode, names)
            found["END", "UNLINK"] = end(server, mode, scratch, data, ENDED[mode])
            for (ours, theirs), comparison in found.items():
                rows.append(row(f"{ours} / {theirs}", comparison, ours, theirs))
                speeds.setdefault(mode.name, {})[f"{ours.split()[0]} / {theirs}"] = \
                    comparison.speed(ours, theirs).median
                limit, goal = CORE_BARS.get((ours, theirs, mode), (None, None))
                if limit:
                    bars.append(Bar(f"{ours} / {theirs}, {mode.name}",
                                    comparison.speed(ours, theirs).median, limit, goal=goal,
                                    steadier=comparison.cheapness(ours, theirs).median))
    yield Table("Speed", HEADER, rows)
    yield Plot("speed", "Operations a second: SessionGate / the server's own command", "",
               "ratio, 1 is equal", {name: (list(values), list(values.values()))
                                     for name, values in speeds.items()}, level=1)
    yield from bars


CORE_BARS = {("PGET", "HGET", PIPELINED): (0.80, 0.87), ("PGET", "HGET", SINGLE): (0.97, None),
             ("PSET", "HSET", PIPELINED): (0.55, 0.75),
             ("START", "SET EX", PIPELINED): (0.65, 0.80)}


SIZES = {"20 B": 20, "1 KB": 1024, "64 KB": 65536, "1 MB": 1 << 20}


def payloads(scratch):
    """Payload sizes

    The same for payloads of 20 bytes to 1 MB. Pipelined loads have 50 clients up to 1 KB, 8 at 64
    KB, 2 at 1 MB.
    """
    rows, bars = [], []
    lines = {"PGET / HGET": ([], []), "PGET / GET": ([], []), "PSET / HSET": ([], [])}
    with Server() as server:
        for label, size in SIZES.items():
            server.flush(0, 1, 2)
            data = text_of(size)
            names = hot(server, data)
            for mode in modes(size):
                # The bars are close to what is measured: more runs where there is one.
                rounds = 2 * Settings.pairs if size == 1 << 20 else None
                reads = read(server, mode, names, rounds=rounds)
                writes = write(server, mode, names, data)
                rows += [row(f"PGET / HGET, {label}", reads, "PGET", "HGET"),
                         row(f"PGET / GET, {label}", reads, "PGET", "GET"),
                         row(f"PSET / HSET, {label}", writes, "PSET", "HSET")]
                if mode is not SINGLE:
                    for what, comparison in (("PGET / HGET", reads), ("PGET / GET", reads),
                                             ("PSET / HSET", writes)):
                        lines[what][0].append(size)
                        lines[what][1].append(comparison.speed(*what.split(" / ")).median)
                if size == 1 << 20:
                    bars.append(Bar(f"PGET / GET of 1 MB, {mode.name}",
                                    reads.speed("PGET", "GET").median, 0.95,
                                    steadier=reads.cheapness("PGET", "GET").median))
        for label, size, number in (("64 KB", 65536, 2_000), ("1 MB", 1 << 20, 200)):
            ends = end(server, modes(size)[0], scratch, bytes_of(size), number)
            rows.append(row(f"END / UNLINK, {label}", ends, "END", "UNLINK"))
        server.flush(1, 2)
    yield Table("Speed by payload size", HEADER, rows)
    yield Plot("payloads", "Operations a second, pipelined: SessionGate / the server's own command",
               "bytes of a payload", "ratio, 1 is equal", lines, log_x=True, level=1)
    yield from bars


def many(scratch):
    """Several payloads at once

    PGETALL against HGETALL, and PMGET against HMGET of four, of sessions with 16 payloads.
    """
    rows = []
    with Server() as server:
        for label, size in SIZES.items():
            if size > 65536:
                continue
            server.flush(0)
            token, table, _ = hot(server, text_of(size) if size < 65536 else bytes_of(size), 16)
            some = [payload_name(index) for index in (1, 5, 9, 13)]
            for mode in modes(size * 16):
                for ours, theirs, arguments in (("PGETALL", "HGETALL", []),
                                                ("PMGET", "HMGET", some)):
                    compared = compare(f"{ours}, {label}", mode, {
                        ours: benchmark(server, mode, ["SESSIONGATE." + ours, SIGN_KEY, token,
                                                       *arguments]),
                        theirs: benchmark(server, mode, [theirs, table, *arguments])})
                    rows.append(row(f"{ours} / {theirs}, {label}", compared, ours, theirs))
    yield Table("Speed of 16 payloads at once, and of 4 of 16", HEADER, rows)


def durable(scratch):
    """With an append-only file, and with a replica

    The writes again with appendonly yes and appendfsync everysec, and with one replica, which runs
    on the clients' core.
    """
    data = text_of(100)
    rows = []

    def writes(server, label):
        names = hot(server, data)
        for mode in modes():
            found = {("PSET", "HSET"): write(server, mode, names, data),
                     ("START", "SET EX"): start(server, mode),
                     ("EXPIRE of a session", "EXPIRE"): expire(server, mode, names),
                     ("END", "UNLINK"): end(server, mode, scratch, data, ENDED[mode] // 2)}
            for (ours, theirs), comparison in found.items():
                rows.append(row(f"{ours} / {theirs}, {label}", comparison, ours, theirs))

    with Server(appendonly="yes", appendfsync="everysec", auto_aof_rewrite_percentage=0) as server:
        writes(server, "AOF")
    with Server(repl_backlog_size="64mb", client_output_buffer_limit="replica 0 0 0") as server, \
            Server(core=CLIENT_CORE) as replica:
        replica.follow(server)
        writes(server, "replica")
        wait_for(lambda: replica.client.info("replication")["slave_repl_offset"]
                 >= server.client.info("replication")["master_repl_offset"] - 1000,
                 "the replica in step")
    yield Table("Speed of writes that are kept or passed on", HEADER, rows)
