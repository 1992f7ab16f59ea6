"""Slots that move from one master to another at once, as Valkey 9 does it: migration."""

import contextlib
import statistics
import time

import measure
from findings import Skip, Table
from measure import Settings
from server import CLIENT_CORE, SERVER_CORE, TOP, wait_for

from experiments.clusters import SLOTS, hashes_of_master, masters
from experiments.common import shown, started, text_of

VALKEY = TOP / "build" / "servers" / "valkey-sid" / "bin" / "server"
# A master that gives its last slot away becomes a replica: one stays.
MOVED = (0, SLOTS // 2 - 2)


def last_migration(server):
    """The last one that the server knows of, as {name: value}."""
    answer = server.call("CLUSTER", "GETSLOTMIGRATIONS")
    return dict(zip(answer[0][::2], answer[0][1::2])) if answer else {}


def state_of_last(server):
    return last_migration(server).get(b"state", b"").decode()


def owned(server):
    """The bounds of the slots that it says are its own."""
    [line] = [line for line in server.call("CLUSTER", "NODES").decode().splitlines()
              if "myself" in line]
    return line.split()[8:]


def cpu_seconds(servers):
    """Of both servers' main threads, and of the processes that they forked and that have ended."""
    infos = [server.client.info("cpu") for server in servers]
    forked = sum(info["used_cpu_user_children"] + info["used_cpu_sys_children"] for info in infos)
    return forked + sum(server.cpu_ns()[0] for server in servers) / 1e9


def migrate(source, target):
    """Move the slots, and return (keys, seconds, seconds of CPU of both)."""
    first, last = MOVED
    held = source.client.dbsize()
    cpu_before, began = cpu_seconds((source, target)), time.monotonic()
    source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last,
                "NODE", target.call("CLUSTER", "MYID"))

    def is_done():
        state = state_of_last(source)
        if state in ("failed", "cancelled"):
            raise RuntimeError(f"the migration {state}: {last_migration(source)}")
        return state == "success"
    wait_for(is_done, "the slots moved")
    seconds = time.monotonic() - began
    used = cpu_seconds((source, target)) - cpu_before
    wait_for(lambda: owned(source)[:1] != [f"{first}-{last}"]
             and any(part.startswith(f"{first}-") for part in owned(target)), "both to know it")
    wait_for(lambda: not source.client.info("memory")["lazyfree_pending_objects"], "memory freed")
    return held - source.client.dbsize(), seconds, used


def migration(scratch):
    """Slots that move at once

    Valkey 9's CLUSTER MIGRATESLOTS: half of all slots go to another master and come back, full of
    sessions, against as many hashes in a cluster of their own; one payload of 100 bytes and a TTL
    each. One master is on the servers' core, the other on the clients'. A figure is of one key: the
    time until the source says success, and the CPU time of both masters and the child that the
    source forks.
    """
    if not VALKEY.exists():
        yield Skip("slots that move at once", "there is no Valkey 9 in build/servers/valkey-sid")
        return
    number = 20_000 if Settings.quick else 200_000
    data = text_of(100)
    options = {"program": VALKEY, "cores": (SERVER_CORE, CLIENT_CORE),
               "client_output_buffer_limit": "replica 0 0 0"}
    found = {}
    with contextlib.ExitStack() as stack:
        pairs = {which: stack.enter_context(masters(2, **options))
                 for which in ("sessions", "hashes")}
        measure.log.progress(f"migration: making {number:,} sessions and hashes")
        started(pairs["sessions"][0], number, scratch / "tokens", payloads=1, data=data)
        hashes_of_master(pairs["hashes"][0], number, scratch / "names", data)
        for trip in range(2 if Settings.quick else 6):
            for which in list(pairs)[::-1 if trip % 2 else 1]:
                measure.log.progress(f"migration: {which}")
                source, target = pairs[which][::-1 if trip % 2 else 1]
                moved, *values = migrate(source, target)
                for unit, value in zip(("µs", "µs of CPU"), values):
                    a_key = value / moved * 1e6
                    found.setdefault(unit, {}).setdefault(which, []).append(a_key)
                    measure.log.figure(which, f"{unit} a key", f"{a_key:.3f}", trip)
    rows = [[unit, *(f"{statistics.median(values[which]):.2f}" for which in pairs),
             shown(measure.ratio([b / a for a, b in zip(values["sessions"], values["hashes"])]))]
            for unit, values in found.items()]
    yield Table(f"Moving about {moved:,} keys by CLUSTER MIGRATESLOTS, for each of them",
                ["", "session", "hash", "hash / session"], rows)
