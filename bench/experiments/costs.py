"""What sessions cost the server beside time: memory; and what forgers cost it: refused."""

import time

import measure
from findings import Bar, Plot, Table
from measure import PIPELINED, Settings, compare, load
from server import Server

from experiments.common import (NAME, SIGN_KEY, TTL, hashes, hot, modes, shown, started, text_of,
                                thousands)


def memory(scratch):
    """Memory

    The growth of used_memory by as many sessions, divided by their number: keys, TTLs and all.
    """
    number = 20_000 if Settings.quick else 100_000
    data = text_of(100)
    rows, bars = [], []
    lines = {"session": ([], []), "hash + TTL": ([], []), "string + TTL": ([], [])}
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
            found = {"session": ours, "hash + TTL": table if payloads else None,
                     "string + TTL": string}
            for name, value in found.items():
                if value is not None:
                    measure.log.figure(f"{payloads} payloads of 100 bytes", f"bytes, {name}",
                                       f"{value:.1f}")
                if payloads:
                    lines[name][0].append(f"{payloads} payload{'s' if payloads > 1 else ''}")
                    lines[name][1].append(value)
            rows.append([payloads, *("-" if value is None else f"{value:.0f}"
                                     for value in found.values())])
            if payloads == 1:
                bars.append(Bar("bytes a session with 1 payload, against HSET + EXPIRE", ours,
                                table, at_least=False, goal=380, unit=" B"))
    yield Table(f"Bytes a session (used_memory, {number:,} sessions, payloads of 100 bytes)",
                ["payloads", "session", "hash + TTL", "string + TTL"], rows,
                "The string holds all payloads as one blob, as an application would make it. A hash "
                "cannot be empty.")
    yield Plot("memory", "Memory of a session, payloads of 100 bytes", "", "bytes", lines)
    yield from bars


def refused(scratch):
    """Bad tokens

    What a forged call costs the server, against a PGET that is answered. A token of bad form is
    told at once; another signature can only be told by computing the right one, each time: what a
    session remembers of its last caller does not help a forger.
    """
    data = text_of(100)
    rows, worst, lines = [], {}, {}
    with Server() as server:
        token, _, _ = hot(server, data)
        gone, _, _ = hot(server, data)
        server.call("SESSIONGATE.END", SIGN_KEY, gone)
        forged = token[:-1] + ("0" if token[-1] != "0" else "1")
        kinds = {"bad form, another length": (SIGN_KEY, "v1.nobody"),
                 "bad form, same length": (SIGN_KEY, token[:-1] + "Z"),
                 "bad signature": (SIGN_KEY, forged),
                 "another sign key, session alive": ("another sign key of 32 bytes ...", token),
                 "right signature, no session": (SIGN_KEY, gone)}
        for mode in modes():
            valid = ["SESSIONGATE.PGET", SIGN_KEY, token, NAME]
            loads = {"valid": load(server, mode, valid)}
            for kind, (sign_key, bad) in kinds.items():
                loads[kind] = load(server, mode, ["SESSIONGATE.PGET", sign_key, bad, NAME],
                                   errors=True)
            compared = compare("PGET", mode, loads)
            for kind in loads:
                cost = measure.ratio([bad.cpu_ns / good.cpu_ns for bad, good in
                                      zip(compared.samples[kind], compared.samples["valid"])])
                rows.append([kind, mode.name, thousands(compared.rate(kind)),
                             f"{compared.cpu(kind) / 1000:.2f}", shown(cost)])
                if kind != "valid":
                    worst[kind, mode] = cost.median
                    line = lines.setdefault(mode.name, ([], []))
                    line[0].append(kind)
                    line[1].append(cost.median)
    yield Table("Cost of a refused PGET",
                ["token", "", "1/s", "CPU µs", "CPU, refused / valid"], rows)
    yield Plot("refused", "The server's time for a refused PGET / for a valid one", "",
               "ratio, 1 is equal", lines, level=1)
    (kind, mode), cost = max(worst.items(), key=lambda item: item[1])
    yield Bar(f"CPU of a refused call / of a valid one, at most ({kind}, {mode.name})", cost, 2.00,
              at_least=False)
