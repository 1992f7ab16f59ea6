"""How commands fare with many sessions, and with many payloads: sessions, growth."""

import shutil

import measure
from findings import Bar, Plot, Table
from measure import PIPELINED, Settings, benchmark, compare, load
from server import Server

from experiments.common import HEADER, NAME, SIGN_KEY, TTL, hashes, hot, row, started, text_of


def sessions(scratch):
    """Growth in sessions

    Pipelined loads that take sessions in a random order, from a thousand to five million of them,
    against the same commands on as many hashes in another database of the same server. Each has one
    payload of 100 bytes and a TTL.
    """
    sizes = [1_000, 20_000, 100_000] if Settings.quick else [1_000, 100_000, 1_000_000, 5_000_000]
    data = text_of(100)
    new = 4_000 if Settings.quick else 20_000
    rows, first, last, costs = [], {}, {}, {}
    tokens, more, fresh, names = (scratch / name for name in ("tokens", "more", "fresh", "names"))
    tokens.write_text("")
    names.write_text("".join(f"v1.{index:081}\n" for index in range(new)))
    with Server() as server:
        held = 0
        for size in sizes:
            measure.log.progress(f"sessions: making {size:,} sessions and hashes")
            started(server, size - held, more, 0, payloads=1, data=data)
            hashes(server, size - held, more, 1, data=data)
            with open(tokens, "ab") as to, open(more, "rb") as source:
                shutil.copyfileobj(source, to)
            held = size

            def tidy(name):
                if fresh.exists() and fresh.stat().st_size:
                    load(server, PIPELINED, ["UNLINK", "__key__"], fresh, 0)(new)
                    fresh.write_text("")
                load(server, PIPELINED, ["UNLINK", "__key__"], names, 1)(new)
            common = {"keys": tokens, "seed": size}
            found = {
                ("PGET", "HGET"): compare(f"read of {size:,}", PIPELINED, {
                    "PGET": load(server, PIPELINED, ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME],
                                 **common),
                    "HGET": load(server, PIPELINED, ["HGET", "__key__", NAME], database=1,
                                 **common)}),
                ("PSET", "HSET"): compare(f"write to {size:,}", PIPELINED, {
                    "PSET": load(server, PIPELINED,
                                 ["SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME, data], **common),
                    "HSET": load(server, PIPELINED, ["HSET", "__key__", NAME, data], database=1,
                                 **common)}),
                ("START", "SET EX"): compare(f"start beside {size:,}", PIPELINED, {
                    "START": load(server, PIPELINED, ["SESSIONGATE.START", SIGN_KEY, TTL],
                                  output=fresh),
                    "SET EX": load(server, PIPELINED, ["SET", "__key__", "1", "EX", TTL], names,
                                   1)},
                    before=tidy, operations=new)}
            tidy("")
            for (ours, theirs), comparison in found.items():
                rows.append(row(f"{ours} / {theirs}, {size:,}", comparison, ours, theirs))
                first.setdefault((ours, theirs), comparison)
                last[ours, theirs] = comparison
                for name in (ours, theirs):
                    line = costs.setdefault(name, ([], []))
                    line[0].append(size)
                    line[1].append(comparison.cpu(name) / 1000)
    yield Table("Speed by number of sessions", HEADER, rows)
    yield Plot("sessions", "The server's time for a command by the number of sessions",
               "sessions, or hashes", "µs of CPU", costs, log_x=True)
    for (ours, theirs), comparison in last.items():
        yield Bar(f"{ours} / {theirs}: ratio at {sizes[-1]:,} / ratio at {sizes[0]:,}",
                  comparison.speed(ours, theirs).median
                  / first[ours, theirs].speed(ours, theirs).median, 0.90,
                  steadier=comparison.cheapness(ours, theirs).median
                  / first[ours, theirs].cheapness(ours, theirs).median)


def growth(scratch):
    """Growth in payloads

    One session with 1 to 100,000 payloads of 100 bytes, against a hash with as many fields;
    pipelined, names taken at random by redis-benchmark.
    """
    counts = [1, 100, 10_000] if Settings.quick else [1, 10, 100, 1_000, 10_000, 100_000]
    data = text_of(100)
    rows, costs = [], {}
    names = scratch / "names"
    with Server() as server:
        for count in counts:
            server.flush(0)
            token, table, _ = hot(server, data)
            names.write_text("".join(f"payload:{index:012}\n" for index in range(count)))
            load(server, PIPELINED, ["SESSIONGATE.PSET", SIGN_KEY, token, "__key__", data],
                 names)(count)
            load(server, PIPELINED, ["HSET", table, "__key__", data], names)(count)
            name = "payload:__rand_int__"
            found = {
                ("PGET", "HGET"): compare(f"read of {count:,}", PIPELINED, {
                    "PGET": benchmark(server, PIPELINED,
                                      ["SESSIONGATE.PGET", SIGN_KEY, token, name], random=count),
                    "HGET": benchmark(server, PIPELINED, ["HGET", table, name], random=count)}),
                ("PSET", "HSET"): compare(f"write to {count:,}", PIPELINED, {
                    "PSET": benchmark(server, PIPELINED,
                                      ["SESSIONGATE.PSET", SIGN_KEY, token, name, data],
                                      random=count),
                    "HSET": benchmark(server, PIPELINED, ["HSET", table, name, data],
                                      random=count)})}
            for (ours, theirs), comparison in found.items():
                rows.append(row(f"{ours} / {theirs}, {count:,}", comparison, ours, theirs))
                for which in (ours, theirs):
                    line = costs.setdefault(which, ([], []))
                    line[0].append(count)
                    line[1].append(comparison.cpu(which) / 1000)
    yield Table("Speed by number of payloads in the session", HEADER, rows)
    yield Plot("growth", "The server's time for a command by the number of payloads",
               "payloads, or fields", "µs of CPU", costs, log_x=True)
