"""How long one command holds the server: pause."""

import functools
import statistics

import measure
from findings import Bar, Plot, Table
from measure import PIPELINED, Settings, load
from server import Server, wait_for

from experiments.common import SIGN_KEY, hot, text_of, thousands

PSET_MOST = 500  # µs that a PSET may take


def longest(server, command):
    """µs of the longest call of a command since RESETSTAT, by the server's own clock."""
    section = server.client.info("latencystats")
    return next(found["p100"] for name, found in section.items()
                if name.lower() == f"latency_percentiles_usec_{command.lower()}")


def longest_of(server, command, act):
    server.call("CONFIG", "RESETSTAT")
    act()
    return longest(server, command)


def payload_names(path, count):
    path.write_text("".join(f"payload:{index:012}\n" for index in range(count)))
    return path


def pause(scratch):
    """The longest pause

    While the server carries out one command, nobody else is served. How long does one take at most,
    by the server's own clock (the maximum of INFO latencystats, two digits)? First the commands that
    read or end a session of many payloads at once; then each single PSET, while a session gets
    millions of payloads and its table grows. That is done in parts, again while the bar is not met, and
    what counts is the least of each part's maxima: a table grows at the same payload each time, where a
    machine's interruptions come when they come.
    """
    with Server(latency_tracking_info_percentiles="50 100") as server:
        yield at_once(server, scratch)
        yield from while_it_grows(server, scratch)


# Of many payloads at once ------------------------------------------------------------------------

ENDS = [["SESSIONGATE.END", SIGN_KEY, "__key__"], ["SESSIONGATE.EXPIRE", SIGN_KEY, "__key__", 0],
        ["UNLINK", "__key__"], ["DEL", "__key__"]]


def at_once(server, scratch):
    """A table of what reads and ends a session, or a hash, of many payloads."""
    count = 10_000 if Settings.quick else 100_000
    names = payload_names(scratch / "names", count)
    data = text_of(100)
    found = {}
    for _ in range(3 if Settings.quick else 5):
        for end in ENDS:
            measure.log.progress(f"pause: {end[0]} of {count:,} payloads")
            token, table, _ = hot(server, data)
            if end[0].startswith("SESSIONGATE"):
                key, fill = token, ["SESSIONGATE.PSET", SIGN_KEY, token, "__key__", data]
                read = ["SESSIONGATE.PGETALL", SIGN_KEY, token]
            else:
                key, fill, read = table, ["HSET", table, "__key__", data], ["HGETALL", table]
            load(server, PIPELINED, fill, names)(count)
            for command in (read, [key if part == "__key__" else part for part in end]):
                took = longest_of(server, command[0], functools.partial(server.call, *command))
                found.setdefault(title_of(command), []).append(took)
            wait_for(lambda: not server.client.info("memory")["lazyfree_pending_objects"],
                     "memory freed in the background")
    rows = [[what, thousands(statistics.median(values)), thousands(max(values))]
            for what, values in found.items()]
    for what, values in found.items():
        for number, value in enumerate(values):
            measure.log.figure(what, "µs", value, number)
    return Table(f"How long one command holds the server, {count:,} payloads of 100 bytes",
                 ["", "median, µs", "most, µs"], rows)


def title_of(command):
    name = command[0].replace("SESSIONGATE.", "")
    return f"{name} to 0" if name == "EXPIRE" else name


# While a table grows -----------------------------------------------------------------------------

STEPS = [2 ** power for power in (12, 14, 16, 18, 20, 21, 22)]
PART = 2 ** 15  # payloads; a tenth of a second or so, so that few parts meet an interruption


def while_it_grows(server, scratch):
    """The longest PSET, and the longest HSET, between one number of payloads and the next."""
    steps = STEPS[:4] if Settings.quick else STEPS
    rounds = 2 if Settings.quick else 3
    ends = sorted({*steps, *range(PART, steps[-1], PART)})  # of parts
    names = payload_names(scratch / "names", steps[-1])
    data = text_of(20)
    least = {"PSET": None, "HSET": None}  # of each part's maxima
    for number in range(rounds):
        for which, before in least.items():
            server.flush(0)
            token, table, _ = hot(server, data)
            fill = (["SESSIONGATE.PSET", SIGN_KEY, token] if which == "PSET" else ["HSET", table])
            maxima = fill_in_parts(server, [*fill, "__key__", data], names, ends)
            for end, value in zip(ends, maxima):
                measure.log.figure(f"up to {end} payloads", f"µs of the longest {which}", value,
                                   number)
            least[which] = list(map(min, maxima, before or maxima))
        if max(least["PSET"]) <= PSET_MOST:
            break
    server.flush(0)
    least = {which: by_step(steps, ends, values) for which, values in least.items()}
    yield Table("The longest single write while a session grows, µs",
                ["payloads, up to", *least],
                [[f"{payloads:,}", *map(thousands, values)]
                 for payloads, *values in zip(steps, *least.values())],
                f"Payloads of 20 bytes, pipelined; fillings: {number + 1}.")
    yield Plot("pauses", "The longest single write while a session grows", "payloads, or fields",
               "µs", {which: (steps, values) for which, values in least.items()},
               log_x=True, log_y=True, level=PSET_MOST)
    yield Bar(f"longest PSET up to {steps[-1]:,} payloads", max(least["PSET"]), PSET_MOST,
              at_least=False, unit=" µs")


def fill_in_parts(server, command, names, ends):
    """The longest of the commands of each part, which ends at that number of payloads."""
    maxima, held = [], 0
    for end in ends:
        measure.log.progress(f"pause: {command[0]} up to {end:,} payloads")
        run = load(server, PIPELINED, command, names, first=held)
        maxima.append(longest_of(server, command[0], functools.partial(run, end - held)))
        held = end
    return maxima


def by_step(steps, ends, values):
    """The most of the values of the parts of each step."""
    return [max(value for end, value in zip(ends, values) if before < end <= step)
            for before, step in zip([0, *steps], steps)]
