"""What a web request costs the server with what a user would pick instead: request."""

import collections

import measure
from findings import Answer, Plot, Table
from measure import PARALLEL, PIPELINED, Settings, compare, load
from server import CLIENT_CORE, Server, wait_for

from experiments.common import (SIGN_KEY, TTL, modes, payload_name, rival_scripts, shown,
                                started, text_of, thousands)

SIZES = {"0.5 KB": 512, "4 KB": 4096, "64 KB": 65536}
TYPICAL = "4 KB"
PARTS = 4  # payloads of a session, and fields of a hash
MINAGE = 60
OURS, LUA = "SessionGate", "a signed Lua script"

# A way to keep sessions: the database and the file of its keys, and the commands of a request.
Way = collections.namedtuple("Way", "database keys command")


def ways_of(server, scratch, number, size):
    """{name: Way} of that many sessions of that size, made on the server."""
    part = text_of(size // PARTS)
    scripts = rival_scripts(server)
    tokens, rivals, blobs, hashes = (scratch / name for name in ("tokens", "rivals", "blobs",
                                                                 "hashes"))
    blobs.write_text("".join(f"sess:{index:032}\n" for index in range(number)))
    hashes.write_text("".join(f"spring:session:sessions:{index:036}\n" for index in range(number)))

    def fill(database, keys, *command, data=None):
        load(server, PIPELINED, command, keys, database, data=data)(number)

    started(server, number, tokens, payloads=PARTS, data=part)
    fill(1, blobs, "SET", "__key__", part * PARTS, "EX", TTL)
    fields = ["creationTime", "1700000000000", "lastAccessedTime", "1700000000000",
              "maxInactiveInterval", str(TTL)]
    for index in range(PARTS):
        fields += ["sessionAttr:" + payload_name(index), part]
    fill(2, hashes, "HSET", "__key__", *fields)
    fill(2, hashes, "EXPIRE", "__key__", TTL)
    ids = scratch / "ids"
    ids.write_text("".join(f"{index:016}\n" for index in range(number)))
    load(server, PIPELINED, ["EVALSHA", scripts["start"], 0, SIGN_KEY, TTL, "__key__"], ids, 3,
         output=rivals)(number)
    for index in range(PARTS):
        fill(3, rivals, "EVALSHA", scripts["pset"], 1, "__key__", SIGN_KEY, payload_name(index),
             data=part)
    read = ["SESSIONGATE.PGETALL", SIGN_KEY, "__key__", ",", "SESSIONGATE.TOUCH", SIGN_KEY,
            "__key__"]
    return {
        OURS: Way(0, tokens, [*read, "MINAGE", MINAGE]),
        f"{OURS}, writing each time": Way(0, tokens, read),
        "connect-redis": Way(1, blobs, ["GET", "__key__", ",", "EXPIRE", "__key__", TTL]),
        "Spring Session": Way(2, hashes, [
            "HGETALL", "__key__", ",", "HSET", "__key__", "lastAccessedTime", "1700000000000", ",",
            "EXPIRE", "__key__", TTL]),
        LUA: Way(3, rivals, [
            "EVALSHA", scripts["request"], 1, "__key__", SIGN_KEY, TTL, MINAGE])}


def load_of(server, mode, way):
    return load(server, mode, way.command, way.keys, way.database, seed=1)


def writes_of(server, ways):
    """{name: writes that a replica gets for a request}."""
    number = 1_000
    found = {}
    with Server(core=CLIENT_CORE) as replica:
        replica.follow(server)
        for name, way in ways.items():
            before = writes_seen(server, replica)
            load_of(server, PARALLEL, way)(number)
            found[name] = (writes_seen(server, replica) - before) / number
            measure.log.figure(name, "writes a request", found[name])
    return found


def writes_seen(server, replica):
    """How many commands the replica has been sent that change something."""
    def offset(of, name):
        return of.client.info("replication")[name]
    sent = offset(server, "master_repl_offset")
    wait_for(lambda: offset(replica, "slave_repl_offset") >= sent, "the replica in step")
    ours = {"ping", "info", "replicaof", "replconf", "select", "command", "hello", "client"}
    stats = replica.client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items()
               if name.removeprefix("cmdstat_").split("|")[0].lower() not in ours)


def wire_of(comparison, name):
    """Bytes of a request, sent and received."""
    sample = comparison.samples[name][0]
    return [bytes_ / sample.operations for bytes_ in sample.wire]


def request(scratch):
    """A request, by what you would use instead

    A web request reads its session and keeps it alive. The same work on as many sessions of the same
    size, in the same run: SessionGate's PGETALL and TOUCH … MINAGE 60, which writes for the first
    request of a minute (here: none), and TOUCH without MINAGE, which writes each time; connect-redis'
    GET and EXPIRE; Spring Session's HGETALL, HSET of the time of access, and EXPIRE; and a Lua script
    ([rival.lua](rival.lua)) that verifies the token, reads a hash and refreshes it once a minute.
    Only SessionGate and the script verify in the server: what the others' applications do to check a
    cookie is not in their figures. Sessions have four payloads, or fields, or are one string of that
    size; they are taken at random, and each command of a request waits for the answer to the one
    before it, but for the pipelined runs. Writes are counted on a replica, bytes by the client.
    """
    costs, writes, rows = {}, {}, []
    for label, size in SIZES.items():
        with Server() as server:
            number = 200 if size > 4096 or Settings.quick else 2_000
            ways = ways_of(server, scratch, number, size)
            for mode in [PARALLEL] if Settings.quick else [PARALLEL, modes(size)[0]]:
                compared = compare(f"request, {label}", mode, {
                    name: load_of(server, mode, way) for name, way in ways.items()})
                costs[label, mode] = compared
            writes[label] = writes_of(server, ways)
            rows += [full_row(label, costs[label, mode], name, way, writes[label][name])
                     for mode in (PARALLEL, modes(size)[0]) if (label, mode) in costs
                     for name, way in ways.items()]
    yield Answer(*answer(costs, writes, ways))
    yield Table("A request that reads a session and keeps it alive",
                ["", "", "1/s", f"{OURS} / it (quartiles)", "CPU µs", "CPU ratio (quartiles)",
                 "commands", "bytes sent", "received", "writes"], rows)


def full_row(label, compared, name, way, writes):
    sent, received = wire_of(compared, name)
    return [f"{name}, {label}", compared.mode.name, thousands(compared.rate(name)),
            shown(compared.speed(OURS, name)), f"{compared.cpu(name) / 1000:.2f}",
            shown(compared.cheapness(OURS, name)), commands_of(way), thousands(sent),
            thousands(received), f"{writes:.2f}"]


def commands_of(way):
    return way.command.count(",") + 1


def answer(costs, writes, ways):
    """What the page begins with: for one server, one core, 50 clients."""
    typical = costs[TYPICAL, PARALLEL]
    rows, lines = [], {}
    for name, way in ways.items():
        rates = [costs[label, PARALLEL].rate(name) for label in SIZES]
        rows.append([name, *map(thousands, rates), f"{typical.cpu(name) / 1000:.0f}",
                     commands_of(way), *map(thousands, wire_of(typical, name)),
                     f"{writes[TYPICAL][name]:.0f}" + " (1 a minute)" * (name in (OURS, LUA))])
        lines[name] = (list(SIZES), rates)
    table = Table("Requests a second that read a session and keep it alive, on one core of the server",
                  ["", *(f"of {label}" for label in SIZES), f"CPU µs ({TYPICAL})", "commands",
                   "bytes sent", "received", "writes to replicas"], rows)
    plot = Plot("requests", "Requests a second that read a session and keep it alive", "",
                "requests a second, 50 clients", lines)
    busy = typical.cpu(OURS) / 1e9 * 1000
    others = [f"{typical.cheapness(OURS, name).median:.2f} times as much with {name}"
              for name in ways if OURS not in name]
    text = (f"A web request reads its session and keeps it alive. With sessions of {TYPICAL}, one core "
            f"of the server does that for {thousands(typical.rate(OURS))} requests a second: "
            f"1,000 requests a second keep it busy for {busy:.1%} of the time. The server's CPU time "
            f"for the same is {', '.join(others)}.")
    return text, table, plot
