"""How commands fare with many sessions, and with many payloads: sessions, growth."""

import shutil

import measure
from findings import Bar, Plot, Table
from measure import PIPELINED, Settings, benchmark, compare, load
from server import Server

from experiments.common import HEADER, NAME, SIGN_KEY, TTL, hashes, hot, row, started, text_of

DATA = text_of(100)


class Curve:
    """Comparisons at several sizes: rows of a table, and a line of CPU time for each command."""

    def __init__(self):
        self.rows, self.lines = [], {}
        self.compared = {}  # {(ours, theirs): [(size, comparison), ...]}

    def add(self, size, comparisons):
        """comparisons: {(ours, theirs): Comparison}"""
        for (ours, theirs), comparison in comparisons.items():
            self.rows.append(row(f"{ours} / {theirs}, {size:,}", comparison, ours, theirs))
            self.compared.setdefault((ours, theirs), []).append((size, comparison))
            for name in (ours, theirs):
                sizes, costs = self.lines.setdefault(name, ([], []))
                sizes.append(size)
                costs.append(comparison.cpu(name) / 1000)

    def bars(self, limit):
        """The ratio at the largest size / that at the smallest."""
        for names, found in self.compared.items():
            (smallest, first), (largest, last) = found[0], found[-1]
            yield Bar(f"{' / '.join(names)}: ratio at {largest:,} / ratio at {smallest:,}",
                      last.speed(*names).median / first.speed(*names).median, limit,
                      steadier=last.cheapness(*names).median / first.cheapness(*names).median)


# Many sessions -----------------------------------------------------------------------------------

class Stock:
    """Sessions in database 0 and as many hashes of the same names in database 1, which are added to.

    START and SET EX make keys beside them, which are removed again.
    """

    def __init__(self, server, scratch):
        self.server, self.size = server, 0
        self.new = 4_000 if Settings.quick else 20_000
        self.tokens, self.more, self.fresh, self.names = (
            scratch / name for name in ("tokens", "more", "fresh", "names"))
        self.tokens.write_text("")
        self.fresh.write_text("")
        self.names.write_text("".join(f"v1.{index:081}\n" for index in range(self.new)))

    def grow(self, size):
        measure.log.progress(f"sessions: making {size:,} sessions and hashes")
        started(self.server, size - self.size, self.more, 0, payloads=1, data=DATA)
        hashes(self.server, size - self.size, self.more, 1, data=DATA)
        with open(self.tokens, "ab") as to, open(self.more, "rb") as source:
            shutil.copyfileobj(source, to)
        self.size = size

    def load(self, *command, database=0):
        """Of all of them, in a random order."""
        return load(self.server, PIPELINED, command, self.tokens, database, seed=self.size)

    def read(self):
        return compare(f"read of {self.size:,}", PIPELINED, {
            "PGET": self.load("SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME),
            "HGET": self.load("HGET", "__key__", NAME, database=1)})

    def write(self):
        return compare(f"write to {self.size:,}", PIPELINED, {
            "PSET": self.load("SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME, DATA),
            "HSET": self.load("HSET", "__key__", NAME, DATA, database=1)})

    def start(self):
        found = compare(f"start beside {self.size:,}", PIPELINED, {
            "START": load(self.server, PIPELINED, ["SESSIONGATE.START", SIGN_KEY, TTL],
                          output=self.fresh),
            "SET EX": load(self.server, PIPELINED, ["SET", "__key__", "1", "EX", TTL], self.names,
                           1)}, before=self.remove_new, operations=self.new)
        self.remove_new("")
        return found

    def remove_new(self, _):
        remove = ["UNLINK", "__key__"]
        if self.fresh.stat().st_size:
            load(self.server, PIPELINED, remove, self.fresh)(self.new)
            self.fresh.write_text("")
        load(self.server, PIPELINED, remove, self.names, 1)(self.new)


def sessions(scratch):
    """Growth in sessions

    Pipelined loads that take sessions in a random order, from a thousand to five million of them,
    against the same commands on as many hashes in another database of the same server. Each has one
    payload of 100 bytes and a TTL.
    """
    sizes = [1_000, 20_000, 100_000] if Settings.quick else [1_000, 100_000, 1_000_000, 5_000_000]
    curve = Curve()
    with Server() as server:
        stock = Stock(server, scratch)
        for size in sizes:
            stock.grow(size)
            curve.add(size, {("PGET", "HGET"): stock.read(), ("PSET", "HSET"): stock.write(),
                             ("START", "SET EX"): stock.start()})
    yield Table("Speed by number of sessions", HEADER, curve.rows)
    yield Plot("sessions", "The server's time for a command by the number of sessions",
               "sessions, or hashes", "µs of CPU", curve.lines, log_x=True)
    yield from curve.bars(0.90)


# Many payloads -----------------------------------------------------------------------------------

DRAWN = "payload:__rand_int__"  # the name of a payload, by redis-benchmark


def on_drawn_names(server, case, count, **commands):
    """Loads of commands that name one of `count` payloads, or fields."""
    return compare(case, PIPELINED, {name: benchmark(server, PIPELINED, command, random=count)
                                     for name, command in commands.items()})


def growth(scratch):
    """Growth in payloads

    One session with 1 to 100,000 payloads of 100 bytes, against a hash with as many fields;
    pipelined, names taken at random by redis-benchmark.
    """
    counts = [1, 100, 10_000] if Settings.quick else [1, 10, 100, 1_000, 10_000, 100_000]
    curve = Curve()
    names = scratch / "names"
    with Server() as server:
        for count in counts:
            server.flush(0)
            token, table, _ = hot(server, DATA)
            names.write_text("".join(f"payload:{index:012}\n" for index in range(count)))
            for fill in (["SESSIONGATE.PSET", SIGN_KEY, token], ["HSET", table]):
                load(server, PIPELINED, [*fill, "__key__", DATA], names)(count)
            reads = on_drawn_names(server, f"read of {count:,}", count,
                                   PGET=["SESSIONGATE.PGET", SIGN_KEY, token, DRAWN],
                                   HGET=["HGET", table, DRAWN])
            writes = on_drawn_names(server, f"write to {count:,}", count,
                                    PSET=["SESSIONGATE.PSET", SIGN_KEY, token, DRAWN, DATA],
                                    HSET=["HSET", table, DRAWN, DATA])
            curve.add(count, {("PGET", "HGET"): reads, ("PSET", "HSET"): writes})
    yield Table("Speed by number of payloads in the session", HEADER, curve.rows)
    yield Plot("growth", "The server's time for a command by the number of payloads",
               "payloads, or fields", "µs of CPU", curve.lines, log_x=True)
