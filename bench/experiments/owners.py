"""What owners cost: owners."""

import time

import measure
from findings import Table
from measure import PIPELINED, Settings, benchmark, compare, load
from server import Server

from experiments.common import HEADER, NAME, SIGN_KEY, TTL, modes, payload_name, row, text_of

SESSIONS = 10  # of one owner, where a row says "of 10"


def labels(scratch, number):
    """A file of that many owners."""
    path = scratch / "owners"
    path.write_text("".join(f"owner:{index:012}\n" for index in range(number)))
    return path


def owned(server, owner, data, sessions=1):
    """The token of the last session that was started for an owner."""
    for _ in range(sessions):
        token = server.call("SESSIONGATE.OSTART", SIGN_KEY, owner, TTL, "PAYLOADS", 1,
                            payload_name(0), data).decode()
    return token


def owners(scratch):
    """Sessions with an owner

    A session of an owner against one of nobody: started, read, kept alive. OLIST of an owner with 10
    sessions against SMEMBERS of a set that holds their tokens; OEND of 10 against the ten ENDs that
    it takes the place of, by session. The memory is the growth of used_memory, the owner's list included.
    """
    data = text_of(100)
    rows = []
    with Server() as server:
        mine = owned(server, "owner:mine", data)
        token = server.call("SESSIONGATE.START", SIGN_KEY, TTL, "FORMAT", "v2", "PAYLOADS", 1,
                            payload_name(0), data).decode()
        owned(server, "owner:ten", data, SESSIONS)
        tokens = server.call("SESSIONGATE.OLIST", SIGN_KEY, "owner:ten")
        server.call("SADD", "set:ten", *tokens)
        for mode in modes():
            for command, ours, theirs in (
                    ("PGET", ["PGET", SIGN_KEY, mine, NAME], ["PGET", SIGN_KEY, token, NAME]),
                    ("TOUCH", ["TOUCH", SIGN_KEY, mine], ["TOUCH", SIGN_KEY, token])):
                found = compare(f"owned {command}", mode, {
                    "of an owner": benchmark(server, mode, ["SESSIONGATE." + ours[0], *ours[1:]]),
                    "of nobody": benchmark(server, mode, ["SESSIONGATE." + theirs[0], *theirs[1:]])})
                rows.append(row(f"{command} of an owner's session / of nobody's", found,
                                "of an owner", "of nobody"))
            found = compare("olist", mode, {
                "OLIST": benchmark(server, mode, ["SESSIONGATE.OLIST", SIGN_KEY, "owner:ten"]),
                "SMEMBERS": benchmark(server, mode, ["SMEMBERS", "set:ten"])})
            rows.append(row(f"OLIST of {SESSIONS} / SMEMBERS", found, "OLIST", "SMEMBERS"))
            rows += [start(server, mode, scratch), end(server, mode, scratch)]
        yield Table("Speed of owners", HEADER, rows)
        yield memory(server, scratch, data)


def start(server, mode, scratch):
    """OSTART of new owners against START, each in a database that is empty at first."""
    number = 10_000 if Settings.quick else 60_000
    found = compare("ostart", mode, {
        "OSTART": load(server, mode, ["SESSIONGATE.OSTART", SIGN_KEY, "__key__", TTL],
                       labels(scratch, number), 1),
        "START": load(server, mode, ["SESSIONGATE.START", SIGN_KEY, TTL, "FORMAT", "v2"],
                      database=2)},
        before=lambda name: server.flush(1, 2), operations=number)
    return row("OSTART of a new owner / START", found, "OSTART", "START")


def end(server, mode, scratch):
    """OEND of ten sessions, against ten ENDs: an operation is a session's end in both."""
    number = 1_000 if Settings.quick else 5_000
    every = labels(scratch, number)
    tokens = scratch / "tokens"

    def before(name):
        server.flush(1, 2)
        database = 1 if name == "OEND" else 2
        tokens.write_text("")
        with open(tokens, "a") as file:
            for _ in range(SESSIONS):
                load(server, PIPELINED, ["SESSIONGATE.OSTART", SIGN_KEY, "__key__", TTL], every,
                     database, output=scratch / "some")(number)
                file.write((scratch / "some").read_text())

    def ten_at_once(_):
        sample = load(server, mode, ["SESSIONGATE.OEND", SIGN_KEY, "__key__"], every, 1)(number)
        return sample._replace(operations=number * SESSIONS, rate=sample.rate * SESSIONS,
                               cpu_ns=sample.cpu_ns / SESSIONS)

    found = compare("oend", mode, {
        "OEND": ten_at_once,
        "END": load(server, mode, ["SESSIONGATE.END", SIGN_KEY, "__key__"], tokens, 2)},
        before=before, operations=number * SESSIONS, rounds=max(3, Settings.pairs // 2))
    return row(f"a session of {SESSIONS} ended by OEND / by END", found, "OEND", "END")


def memory(server, scratch, data):
    number = 5_000 if Settings.quick else 25_000
    rows = []
    for sessions in (0, 1, 4, SESSIONS):
        server.call("FLUSHALL", "SYNC")
        time.sleep(0.3)  # clients that left are freed
        base = server.used_memory()
        count = number * max(1, sessions)
        start_one = ["SESSIONGATE.OSTART", SIGN_KEY, "__key__", TTL] if sessions else \
            ["SESSIONGATE.START", SIGN_KEY, TTL, "FORMAT", "v2"]
        for _ in range(max(1, sessions)):
            load(server, PIPELINED, [*start_one, "PAYLOADS", 1, payload_name(0), data],
                 labels(scratch, number) if sessions else None)(number)
        found = (server.used_memory() - base) / count
        measure.log.figure(f"{sessions or 'no'} sessions of one owner", "bytes a session",
                           f"{found:.1f}")
        rows.append([f"{sessions} of one owner" if sessions else "of nobody", f"{found:.0f}"])
    return Table(f"Bytes a session ({number:,} owners, labels of 18 bytes, one payload of 100 bytes,"
                 " v2 tokens)", ["sessions", "bytes each"], rows)
