"""On a cluster: cluster."""

import contextlib
import itertools
import random
import statistics
import subprocess

import measure
import redis
from findings import Plot, Table
from measure import PIPELINED, SINGLE, Mode, Settings, compare, load, sampled, together
from server import CLIENT_CORE, SERVER_CORE, TOP, Server, wait_for

from experiments.common import HEADER, NAME, SIGN_KEY, TTL, hashes, row, started, text_of

SLOTS = 16384
MASTERS = [1, 3, 10, 30, 100, 300, 1000]
FORMS = ["v1", "v2"]


@contextlib.contextmanager
def masters(number, cores=(SERVER_CORE,), **options):
    """Servers that are masters of one cluster and share its slots, on those cores by turns."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(core=cores[index % len(cores)],
                                              cluster_enabled="yes", **options))
                   for index in range(number)]
        for index, server in enumerate(servers):
            server.call("CLUSTER", "ADDSLOTSRANGE", index * SLOTS // number,
                        (index + 1) * SLOTS // number - 1)
            server.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            server.call("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            wait_for(lambda: b"cluster_state:ok" in server.call("CLUSTER", "INFO")
                     and len(server.call("CLUSTER", "NODES").splitlines()) == number,
                     "the cluster to be up", 60)
        yield servers


def cluster(scratch):
    """A cluster

    Three masters on the servers' core. Pipelined, one load.c for each master has the keys of its
    slots, as a cluster client sorts them; an answer that redirects would fail the run. One at a
    time, redis-py's cluster client finds the master of each key itself, and sends START to any;
    here it is the client that takes most of the time.

    START draws tokens until one falls into a slot of its own master, so its cost grows with the
    number of masters. It is measured on one server that serves its share of the slots only; and,
    for the drawing alone, with a fake answer about ownership (bench/masters.c). What one question to
    the server costs is the difference of both at 30 masters, by the number of tries. v2 tokens are
    steered by their pad, and need no new signature for a new try.
    """
    with masters(3) as servers:
        rows = spread(servers, scratch) + by_cluster_client(servers, scratch)
    yield Table("Speed of a cluster of three masters", HEADER, rows)

    with Server() as server:
        outside = start_cost(server, "v1", 1)
    seen = {form: [] for form in FORMS}
    for count in MASTERS:
        with Server(cluster_enabled="yes", cluster_require_full_coverage="no") as server:
            server.call("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // count - 1)
            wait_for(lambda: b"cluster_state:ok" in server.call("CLUSTER", "INFO"), "its slots")
            for form in FORMS:
                seen[form].append(start_cost(server, form, count))
                measure.log.figure(f"START, {form}, {count} masters", "ns", f"{seen[form][-1]:.0f}")
    drawn = {form: [] for form in FORMS}
    tries = []
    for count, form, ns, tried in fake_searches():
        measure.log.figure(f"{count} masters, {form}", "ns a token, without asking", ns)
        drawn[form].append(ns)
        if form == "v1":
            tries.append(tried)
    at = MASTERS.index(30)
    question = (seen["v1"][at] - seen["v1"][0] - drawn["v1"][at] + drawn["v1"][0]) / \
        (tries[at] - tries[0])
    rows = [[f"{count:,}", *(f"{costs[form][index] / 1000:,.1f}"
                             for costs in (seen, drawn) for form in FORMS)]
            for index, count in enumerate(MASTERS)]
    yield Table("START by number of masters, µs of the server's CPU",
                ["masters", "v1", "v2", "v1, the drawing alone", "v2, the drawing alone"], rows,
                f"Outside a cluster START takes {outside / 1000:.1f} µs; asking the server whether a "
                f"slot is its own takes {question / 1000:.2f} µs.")
    yield Plot("masters", "The server's time for a START by the number of masters", "masters",
               "µs of CPU", {form: (MASTERS, [ns / 1000 for ns in seen[form]]) for form in FORMS},
               log_x=True, log_y=True)


def hashes_of_master(server, number, names, data):
    """Hashes in the slots of this master: their names are those of sessions that it started."""
    started(server, number, names)
    load(server, PIPELINED, ["SESSIONGATE.END", SIGN_KEY, "__key__"], names)(number)
    hashes(server, number, names, 0, data=data)


def spread(servers, scratch):
    """Rows of loads that go to all masters at once, pipelined; leaves tokens<i> and names<i>."""
    data = text_of(100)
    number = 3_000 if Settings.quick else 30_000
    mode = Mode("pipelined", 16, 16)
    for index, server in enumerate(servers):
        started(server, number, scratch / f"tokens{index}", payloads=1, data=data)
        hashes_of_master(server, number, scratch / f"names{index}", data)

    def everywhere(files, command):
        return together([load(server, mode, command, scratch / f"{files}{index}", seed=1)
                         for index, server in enumerate(servers)])
    reads = compare("read", mode, {
        "PGET": everywhere("tokens", ["SESSIONGATE.PGET", SIGN_KEY, "__key__", NAME]),
        "HGET": everywhere("names", ["HGET", "__key__", NAME])})
    writes = compare("write", mode, {
        "PSET": everywhere("tokens", ["SESSIONGATE.PSET", SIGN_KEY, "__key__", NAME, data]),
        "HSET": everywhere("names", ["HSET", "__key__", NAME, data])})
    return [row("PGET / HGET", reads, "PGET", "HGET"), row("PSET / HSET", writes, "PSET", "HSET")]


def by_cluster_client(servers, scratch):
    """Rows of loads by redis-py's cluster client."""
    keys = {kind: [line for index in range(len(servers))
                   for line in (scratch / f"{kind}{index}").read_text().split()]
            for kind in ("tokens", "names")}
    for some in keys.values():
        random.Random(1).shuffle(some)
    new = itertools.count()
    with contextlib.closing(redis.RedisCluster(host="127.0.0.1", port=servers[0].port)) as client:
        def calls(call):
            def run(operations):
                def once():
                    for index in range(operations):
                        call(index)
                return sampled(servers, operations, once)
            return run

        def any_master():
            return random.choice(client.get_primaries())
        reads = compare("read, redis-py", SINGLE, {
            "PGET": calls(lambda index: client.execute_command(
                "SESSIONGATE.PGET", SIGN_KEY, keys["tokens"][index % len(keys["tokens"])], NAME)),
            "HGET": calls(lambda index: client.execute_command(
                "HGET", keys["names"][index % len(keys["names"])], NAME))})
        starts = compare("start, redis-py", SINGLE, {
            "START": calls(lambda index: client.execute_command(
                "SESSIONGATE.START", SIGN_KEY, TTL, target_nodes=any_master())),
            "SET EX": calls(lambda index: client.execute_command(
                "SET", f"v1.{next(new):081}", "1", "EX", TTL))})
    return [row("PGET / HGET, redis-py", reads, "PGET", "HGET"),
            row("START / SET EX, redis-py", starts, "START", "SET EX")]


def start_cost(server, form, tries):
    """ns of the server's CPU for a START, pipelined, that takes about so many tries."""
    number = max(1_000, (5_000 if Settings.quick else 40_000) // tries)
    run = load(server, PIPELINED, ["SESSIONGATE.START", SIGN_KEY, TTL, "FORMAT", form])
    costs = []
    for _ in range(3):
        server.flush(0)
        costs.append(run(number).cpu_ns)
    return statistics.median(costs)


def fake_searches():
    """(masters, format, ns a token, tries a token) by masters.c."""
    ran = subprocess.run(["taskset", "-c", str(CLIENT_CORE), TOP / "build/bench/masters",
                          *map(str, MASTERS)], check=True, text=True, stdout=subprocess.PIPE)
    for line in ran.stdout.splitlines():
        count, form, ns, tries = line.split()
        yield int(count), form, float(ns), float(tries)
