"""All sessions at once: bulk."""

import re
import statistics
import time

import measure
from findings import Bar, Plot, Table
from measure import Settings
from server import CLIENT_CORE, Server, wait_for

from experiments.common import hashes, shown, started, text_of

CONFIG = {"aof_use_rdb_preamble": "no", "auto_aof_rewrite_percentage": 0}
RDB_BARS = {"RDB save": 1.00, "RDB load": 1.00}
AOF_BARS = {"AOF rewrite": 0.95, "AOF load": 0.93, "AOF file": 0.95}


class Twins:
    """A server of sessions and one of as many hashes; what both do is timed, by turns.

    Each act is a function of a server that returns seconds, and seconds of CPU, None where that is
    not known.
    """

    def __init__(self, ours, theirs):
        self.servers = {"sessions": ours, "hashes": theirs}
        self.wall, self.cpu, self.sizes = {}, {}, {}  # each {what: {which: [value, ...]}}

    def fill(self, number, payloads, tokens):
        self.number, self.payloads = number, payloads
        measure.log.progress(f"bulk: making {number:,} sessions and hashes")
        data = text_of(100)
        started(self.servers["sessions"], number, tokens, payloads=payloads, data=data)
        hashes(self.servers["hashes"], number, tokens, 0, payloads, data=data)

    def time(self, what, act, rounds):
        for number in range(rounds):
            for which in ("sessions", "hashes") if number % 2 else ("hashes", "sessions"):
                measure.log.progress(f"bulk: {what}, {which}")
                seconds, cpu_seconds = act(self.servers[which])
                self.note(self.wall, what, which, seconds, "s")
                if cpu_seconds is not None:
                    self.note(self.cpu, what, which, cpu_seconds, "s of CPU")

    def note(self, kind, what, which, value, unit):
        values = kind.setdefault(what, {}).setdefault(which, [])
        measure.log.figure(f"{what}, {self.payloads} payloads", f"{which}, {unit}",
                           value if unit == "bytes" else f"{value:.3f}", len(values))
        values.append(value)

    def weigh(self, what, pattern):
        """Note the size of each server's file."""
        for which, server in self.servers.items():
            size = max(path.stat().st_size for path in server.directory.glob(pattern))
            self.note(self.sizes, what, which, size, "bytes")

    def median(self, kind, what, which):
        return statistics.median(kind[what][which])

    def ratio(self, kind, what):
        """Hashes / sessions, over rounds."""
        found = kind[what]
        return measure.ratio([b / a for a, b in zip(found["sessions"], found["hashes"])])

    def rows(self):
        for what in self.wall:
            yield [what, *(f"{self.median(self.wall, what, which):.2f} s" for which in self.servers),
                   shown(self.ratio(self.wall, what)),
                   shown(self.ratio(self.cpu, what)) if what in self.cpu else "-"]
        for what in self.sizes:
            yield [what, *(f"{self.median(self.sizes, what, which) / 1e6:.0f} MB"
                           for which in self.servers),
                   f"{self.ratio(self.sizes, what).median:.2f}", "-"]

    def bars(self, limits):
        several = f" with {self.payloads} payloads" if self.payloads > 1 else ""
        for what, limit in limits.items():
            steadier = self.ratio(self.cpu, what).median if what in self.cpu else None
            kind = self.sizes if what in self.sizes else self.wall
            yield Bar(f"{what} of {self.number:,}{several}, hashes / sessions",
                      self.ratio(kind, what).median, limit, steadier=steadier)


# What a server does ------------------------------------------------------------------------------

def timed(act):
    began = time.monotonic()
    act()
    return time.monotonic() - began


def save(server):
    before = server.cpu_ns()[0]
    seconds = timed(lambda: server.call("SAVE"))
    return seconds, (server.cpu_ns()[0] - before) / 1e9


def reload(server):
    """Start again from the file, where all keys have to be found again."""
    number = server.client.dbsize()
    server.stop()
    server.start()
    ran = server.cpu_ns()[0] / 1e9
    if server.client.dbsize() != number:
        raise RuntimeError(f"of {number} keys {server.client.dbsize()} were loaded")
    logged = re.findall(r"DB loaded from [a-z -]+: ([\d.]+) seconds", server.log())
    return float(logged[-1]), ran


def synchronise(server):
    with Server(core=CLIENT_CORE) as replica:
        return timed(lambda: replica.follow(server)), None


def rewrite(server):
    before = children_seconds(server)
    server.call("BGREWRITEAOF")
    seconds = timed(lambda: wait_rewritten(server))
    return seconds, children_seconds(server) - before


def children_seconds(server):
    """CPU time of the processes that the server forked and that have ended."""
    info = server.client.info("cpu")
    return info["used_cpu_user_children"] + info["used_cpu_sys_children"]


def wait_rewritten(server):
    def is_done():
        info = server.client.info("persistence")
        return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]
    wait_for(is_done, "the AOF rewritten")


def begin_aof(server):
    server.config["appendonly"] = "yes"
    server.call("CONFIG", "SET", "appendonly", "yes")
    wait_rewritten(server)


# What is measured --------------------------------------------------------------------------------

def measure_rdb(twins):
    twins.time("RDB save", save, 1 if Settings.quick else 5)
    twins.weigh("RDB file", "dump.rdb")
    twins.time("RDB load", reload, 1 if Settings.quick else 5)
    twins.time("full synchronisation", synchronise, 1 if Settings.quick else 3)


def measure_aof(twins):
    for server in twins.servers.values():
        begin_aof(server)
    twins.time("AOF rewrite", rewrite, 2 if Settings.quick else 5)
    twins.weigh("AOF file", "appendonlydir/*.base.aof")
    twins.time("AOF load", reload, 2 if Settings.quick else 5)


def shown_times(twins):
    return Table(f"Time for {twins.number:,} sessions, payloads of 100 bytes in each: "
                 f"{twins.payloads}",
                 ["", "sessions", "hashes", "hashes / sessions", "of CPU time"],
                 list(twins.rows()))


def bulk(scratch):
    """Saving, loading, full synchronisation

    A million sessions with one payload of 100 bytes and a TTL, against a million hashes with the
    same, each in a server of its own; then, of the AOF alone, a quarter of a million with four
    payloads. The AOF is rewritten as commands (aof-use-rdb-preamble no), by a child of the server
    whose CPU time is given; a full synchronisation lasts from REPLICAOF until the replica's link is
    up, with the replica on the clients' core.
    """
    number = 100_000 if Settings.quick else 1_000_000
    with Server(**CONFIG) as ours, Server(**CONFIG) as theirs:
        twins = Twins(ours, theirs)
        twins.fill(number, 1, scratch / "tokens")
        measure_rdb(twins)
        measure_aof(twins)
        yield shown_times(twins)
        yield from twins.bars(RDB_BARS | AOF_BARS)
        lines = {which: (list(twins.wall), [twins.median(twins.wall, what, which)
                                            for what in twins.wall]) for which in twins.servers}
        yield Plot("bulk", f"Time for {number:,} sessions, and for as many hashes", "", "seconds",
                   lines)
    with Server(**CONFIG) as ours, Server(**CONFIG) as theirs:
        twins = Twins(ours, theirs)
        twins.fill(number // 4, 4, scratch / "tokens")
        measure_aof(twins)
        yield shown_times(twins)
        yield from twins.bars(AOF_BARS)
