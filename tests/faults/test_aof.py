"""Append-only files that are cut short, or written by somebody else."""

import pytest

from features import signed_v2
from harness import (KEY, Wire, commands_in, end, error_code, expire, pdel, pget, pset, signed,
                     start, wait_for)


def aof_of(server):
    """The file that the server appends to now."""
    [file] = (server.directory / "appendonlydir").glob("*.incr.aof")
    return file


def appending(make_server, **config):
    return make_server(appendonly="yes", appendfsync="always", auto_aof_rewrite_percentage=0,
                       aof_load_truncated="yes",
                       hz=200,  # it soon hears that a rewrite is done
                       **config)


# Cut short ---------------------------------------------------------------------------------------

RECORDS = {
    "START": lambda client, token: start(client, KEY, 1000),
    "PSET": lambda client, token: pset(client, token, b"n", b"new"),
    "PDEL": lambda client, token: pdel(client, token, b"n"),
    "EXPIRE": lambda client, token: expire(client, token, 5000),
    "END": lambda client, token: end(client, token),
}


def transaction(client, token):
    with client.pipeline(transaction=True) as pipeline:
        pset(pipeline, token, b"n", b"new")
        pset(pipeline, token, b"m", b"new")
        pdel(pipeline, token, b"o")
        expire(pipeline, token, 5000)
        pipeline.execute()


def last_record(server, write):
    """Writes once more. Answers the AOF before and after, and what the server holds each time."""
    client = server.client()
    token = start(client, KEY, 1000)
    pset(client, token, b"n", b"old")
    pset(client, token, b"o", b"old")
    file = aof_of(server)
    before = file.read_bytes(), server.sessions()
    write(client, token)
    after = file.read_bytes(), server.sessions()
    assert after[0].startswith(before[0]) and after[0] != before[0] and after[1] != before[1]
    return file, before, after


def start_on_cuts(server, write, sizes=range, append=True):
    """Starts the server on its AOF, cut to each size from before the last record to behind it.

    With `append` it goes on appending at every eighth, and what it appended must be there again.
    Not for transactions: up to Redis 8.0 and Valkey 8.1 a server that finds one cut inside a
    command keeps its MULTI in the file, and loses what it appends behind that, of whatever type.
    """
    file, (short, held_before), (long, held_after) = last_record(server, write)
    sizes = list(sizes(len(short), len(long) + 1))
    for number, size in enumerate(sizes):
        server.kill9()
        file.write_bytes(long[:size])
        server.start()
        held = held_after if size == len(long) else held_before
        assert server.sessions() == held, f"cut to {size} of {len(short)} to {len(long)} bytes"
        if append and number % 8 == 0:
            token = start(server.client(), KEY, 1000)
            server.kill9()
            server.start()
            assert server.sessions().keys() == held.keys() | {token}
    print(f"started on {len(sizes)} cuts")


def test_a_transaction_cut_anywhere_is_whole_or_absent(make_server):
    def some(low, high):
        return [*range(low, high, 29), high - 2, high - 1]
    start_on_cuts(appending(make_server), transaction, some, append=False)


@pytest.mark.slow
def test_a_record_cut_at_any_byte_is_whole_or_absent(make_server):
    start_on_cuts(appending(make_server), RECORDS["PSET"])


@pytest.mark.full
@pytest.mark.parametrize("command", sorted(set(RECORDS) - {"PSET"}))
def test_a_record_of_any_kind_cut_at_any_byte_is_whole_or_absent(make_server, command):
    start_on_cuts(appending(make_server), RECORDS[command])


@pytest.mark.full
def test_a_transaction_cut_at_any_byte_is_whole_or_absent(make_server):
    start_on_cuts(appending(make_server), transaction, append=False)


# Forged ------------------------------------------------------------------------------------------

TOKEN, OTHER = signed(KEY, b"ForgedForgedForg"), signed(KEY, b"OtherOtherOtherO")
V2 = signed_v2(KEY)
LARGE = b"x" * 10_000_000
INTERNAL = (START, PSET, PSETVIA, PDEL, EXPIRE, TOUCH, END, ROTATE, ALIAS, OSTART, OEXPIRE, OROTATE,
            OEND, OWNER, LOAD) = [b"SGREPLAY." + name for name in (
                b"START", b"PSET", b"PSETVIA", b"PDEL", b"EXPIRE", b"TOUCH", b"END", b"ROTATE",
                b"ALIAS", b"OSTART", b"OEXPIRE", b"OROTATE", b"OEND", b"OWNER", b"LOAD")]
NUMBERS = (b"-1", b"-9223372036854775808", b"1", b"9223372036854775807", b"9" * 30, b"soon", b"",
           b"9" * 10_000_000)


# A session as it is stored: the numbers of chunk.h, then payloads.
FIRST = b"\1\2\x3c\3" + b"\1\1a1"
OWNED = b"\1\2\x3c\x83\x80\x80\x10" + b"\5owner" + b"\1\1a1"
MORE = b"\2\2bb22", b"\2\x80\1cc" + b"3" * 128


def started(token=TOKEN, times=(b"0",) * 4):
    return (START, token, *times)


HOSTILE = {
    "no arguments": [(name,) for name in INTERNAL],
    "a token alone": [(name, TOKEN) for name in INTERNAL],
    "too few arguments": [started()[:-1], (PSET, TOKEN, b"n"), (EXPIRE, TOKEN, b"0"),
                          (ROTATE, TOKEN, OTHER, b"0", b"0", b"0")],
    "too many arguments": [(*started(), b"n"), (PSET, TOKEN, b"n", b"d", b"n"),
                           (ALIAS, TOKEN, OTHER, OTHER), (OWNER, b"owner", OTHER, OTHER)],
    "counts of more than there is": [(PSETVIA, TOKEN, b"2", OTHER, b"n", b"d"),
                                     (PSETVIA, TOKEN, b"9" * 19, OTHER, b"n", b"d"),
                                     (OSTART, TOKEN, b"owner", *[b"9" * 18] * 5, b"2", b"0", OTHER),
                                     (OSTART, TOKEN, b"owner", *[b"9" * 18] * 5, b"1", b"1", OTHER),
                                     (OSTART, V2, b"owner", *[b"9" * 18] * 5, *[b"9" * 18] * 2, V2),
                                     (OEND, b"owner", b"0", b"", b"2", OTHER),
                                     (OEND, b"owner", b"0", b"", b"9" * 18, OTHER)],
    "owners' lists of what is no v2 token": [
        (OSTART, TOKEN, b"owner", *[b"9" * 13] * 5, b"1", b"1", OTHER, b"x"),
        (OWNER, b"owner", b"x"), (OEXPIRE, TOKEN, b"owner", *[b"9" * 13] * 3),
        (OEND, b"owner", b"0", b"x", b"0", b"y"),
        (OROTATE, TOKEN, OTHER, b"owner", *[b"9" * 13] * 5)],
    "an owner that is a session, a string, the token": [
        started(), (OSTART, OTHER, TOKEN, *[b"9" * 13] * 5, b"0", b"0"), (b"SET", b"owner", b"s"),
        (OEXPIRE, OTHER, b"owner", *[b"9" * 13] * 3), (OWNER, b"owner", V2),
        (OSTART, V2, V2, *[b"9" * 13] * 5, b"0", b"0"), (OEND, V2, b"0", V2, b"1", V2)],
    "a session that ends itself": [(OSTART, V2, b"owner", *[b"9" * 13] * 5, b"1", b"1", V2, V2)],
    "an owner without a label, and one of 10 MB": [
        (OSTART, V2, b"", *[b"9" * 13] * 5, b"0", b"0"),
        (OSTART, V2, LARGE, *[b"9" * 13] * 5, b"0", b"0")],
    "an empty name": [started(), (PSET, TOKEN, b"", b"d"), (PDEL, TOKEN, b"")],
    "no data": [started(), (PSET, TOKEN, b"n", b"")],
    "an empty name at the start": [(*started(), b"", b"d", b"n", b"")],
    "a name of 201 bytes": [(PSET, TOKEN, b"n" * 201, b"d")],
    "a name of 65535 bytes": [(PSET, TOKEN, b"n" * 65535, b"d")],
    "a name of 65536 bytes": [(PSET, TOKEN, b"n" * 65536, b"d")],
    "a name of 10 MB": [(*started(), LARGE, b"d"), (PSET, TOKEN, LARGE, b"d"),
                        (PDEL, TOKEN, LARGE)],
    "data of 10 MB": [(PSET, TOKEN, b"n", LARGE)],
    "an empty token": [started(b""), (PSET, b"", b"n", b"d"), (PDEL, b"", b"n"),
                       (EXPIRE, b"", b"0", b"0"), (TOUCH, b"", b"1"), (END, b"", TOKEN),
                       (ALIAS, b"", TOKEN),
                       (ROTATE, TOKEN, b"", b"0", b"0", b"0", b"60")],
    "a token of 10 MB": [started(LARGE), (PSET, LARGE, b"n", b"d"), (ALIAS, TOKEN, LARGE),
                         (ROTATE, TOKEN, LARGE, b"0", b"0", b"0", b"9223372036854775807")],
    **{f"a time of {number[:24].decode()!r} to {command}": commands
       for number in NUMBERS for command, commands in {
           "START": [started(times=(number, b"0", b"0", b"0")), (PSET, TOKEN, b"n", b"d"),
                     started(OTHER, (b"0", number, number, number))],
           "the short START": [started(times=(number, b"60")), started(OTHER, (b"0", number))],
           "EXPIRE": [started(), (EXPIRE, TOKEN, number, number)],
           "TOUCH": [started(), (TOUCH, TOKEN, number)],
           "ROTATE": [started(), (ROTATE, TOKEN, OTHER, *[number] * 4)]}.items()},
    "writes to a session that never started": [(PSET, TOKEN, b"n", b"d"), (PDEL, OTHER, b"n"),
                                               (EXPIRE, TOKEN + b"2", b"0", b"0"),
                                               (TOUCH, TOKEN, b"1"), (END, OTHER, OTHER),
                                               (ROTATE, TOKEN + b"3", TOKEN + b"4", *[b"0"] * 4)],
    "a session rotated away with itself as an alias": [
        started(), (ROTATE, TOKEN, OTHER, *[b"0"] * 4, TOKEN, OTHER, OTHER)],
    "an effect on a string": [command for write in (
        (PSET, TOKEN, b"n", b"d"), (PDEL, TOKEN, b"n"), (EXPIRE, TOKEN, b"0", b"0"),
        (TOUCH, TOKEN, b"1"), (END, TOKEN, TOKEN),
        (ALIAS, TOKEN, OTHER), (ROTATE, TOKEN, OTHER, *[b"0"] * 4),
        (ROTATE, OTHER, TOKEN, *[b"0"] * 4), started())
        for command in ((b"SET", TOKEN, b"s"), write)],
    "an effect on an alias": [command for write in (
        (PSET, TOKEN, b"n", b"d"), (PDEL, TOKEN, b"n"), (EXPIRE, TOKEN, b"0", b"0"),
        (TOUCH, TOKEN, b"1"), (END, TOKEN, TOKEN),
        (ROTATE, TOKEN, OTHER, *[b"0"] * 4), (ROTATE, OTHER, TOKEN, *[b"0"] * 4), started())
        for command in ((ALIAS, TOKEN, OTHER), write)],
    "chunks that are no session": [(LOAD, V2, *chunks) for chunks in (
        (b"",), (b"", FIRST, *MORE), (FIRST,), (OWNED, MORE[0]), (FIRST, *MORE, MORE[0]), MORE,
        (FIRST, MORE[0], b"", MORE[1]), (FIRST, FIRST, FIRST), (LARGE,), (b"\xff" * 10_000_000,))],
    "a session of a label of 201 bytes": [(LOAD, V2, b"\0\0\0\x80\x80\x80\x10\xc9\1" + b"o" * 201)],
    "a session of the latest times there are": [
        (LOAD, TOKEN, b"\xff" * 8 + b"\x7f" + b"\xff" * 8 + b"\x7f" + b"\xff" * 4 + b"\x0f\0")],
    "a session in place of what is there": [command for was in (
        started(), (ALIAS, TOKEN, OTHER), (b"SET", TOKEN, b"s"), (OWNER, TOKEN, V2),
        (LOAD, TOKEN, FIRST, *MORE)) for command in (was, (LOAD, TOKEN, OWNED, *MORE))],
    "a session in place of nothing, under names that are no tokens": [
        (LOAD, b"", FIRST, *MORE), (LOAD, LARGE, FIRST, *MORE)],
    "a session started twice": [started(), (PSET, TOKEN, b"n", b"d"), started()],
    "a session rotated into itself": [started(), (ROTATE, TOKEN, TOKEN, b"0", b"0", b"0", b"60")],
    "an alias of itself": [(ALIAS, TOKEN, TOKEN)],
    "aliases of each other": [(ALIAS, TOKEN, OTHER), (ALIAS, OTHER, TOKEN)],
    "an alias of a string": [(ALIAS, TOKEN, OTHER), (b"SET", OTHER, b"s")],
    "an alias of no token": [(ALIAS, TOKEN, b"n"), (ALIAS, TOKEN, b""),
                             (ALIAS, TOKEN, b"v1." + b"." * 81)],
    "commands of clients": [(b"SESSIONGATE." + name, KEY, TOKEN, b"60", b"60")
                            for name in (b"ADOPT", b"PSET", b"PGET", b"END", b"ROTATE", b"PROBE")]
                           + [(b"SESSIONGATE.START", KEY, b"60"), (b"SESSIONGATE.END", KEY, TOKEN)],
}


def forged(make_server, *commands):
    """A server that has loaded an AOF of these commands, or None when it refused to, in order."""
    server = appending(make_server)
    server.stop()
    with open(aof_of(server), "wb") as file:
        for command in commands:
            file.write(Wire.encode(*command))
    server.start(wait=False)
    ready = "Ready to accept connections"
    wait_for(lambda: not server.alive() or server.log().count(ready) == 2, 30,
             "the AOF loaded or refused")
    return server


def survives(server):
    """Whether it has loaded the file. If it has not, it ended in order."""
    status = server.process.poll()
    if status is None:
        server.wait_ready()
        return True
    log = server.log()
    assert status == 1 and "BUG REPORT" not in log, f"{server} died with status {status}"
    server.process = None  # it may end so
    return False


@pytest.mark.parametrize("name", HOSTILE)
def test_a_forged_aof_is_loaded_or_refused_and_what_was_loaded_can_be_used(make_server, name):
    server = forged(make_server, *HOSTILE[name])
    if not survives(server):
        return
    r = server.client()
    bystander = start(r, KEY, 1000)
    pset(r, bystander, b"n", b"bystander")
    # What expires at once does so: no key may come or go below.
    wait_for(lambda: all(r.exists(key) for key in r.keys()), 10, "expired keys gone")
    stays_loadable(server)
    for token in (TOKEN, OTHER):
        if r.type(token) == b"sgsession":
            assert pset(r, token, b"n", b"data") == b"OK"
            assert pget(r, token, b"n") == b"data"
        for command in (b"TTL", b"INFO", b"PGETALL", b"TOUCH", b"ROTATE", b"END"):
            error = error_code(r.execute_command, b"SESSIONGATE." + command, KEY, token)
            assert error in (None, "NOSESSION", "WRONGTYPE")
        assert error_code(expire, r, token, 60) in ("NOSESSION", "WRONGTYPE")
    assert pget(r, bystander, b"n") == b"bystander"


# Stored sessions ---------------------------------------------------------------------------------

LEFT_OUT = "is damaged or cut short, and is left out"


def altered(chunk):
    """The chunk cut to each length, and with each byte changed, in two ways."""
    yield from (chunk[:size] for size in range(len(chunk)))
    for at in range(len(chunk)):
        for byte in (chunk[at] ^ 1, chunk[at] ^ 128):
            yield chunk[:at] + bytes([byte]) + chunk[at + 1:]


def test_a_stored_session_that_was_altered_is_left_out_or_whole(make_server):
    """Nothing of one is there, nor what it was to replace; the log has a line for each."""
    rest = b"".join(MORE)
    calls = [(LOAD, signed(KEY, b"Altered0000%05d" % number), *chunks)
             for number, chunks in enumerate(
                 [(chunk + rest,) for first in (FIRST, OWNED) for chunk in altered(first)]
                 + [(FIRST + chunk,) for chunk in altered(rest)]
                 + [(FIRST, chunk, MORE[1]) for chunk in altered(MORE[0])])]
    good = LOAD, TOKEN, FIRST, *MORE
    server = forged(make_server, *(started(call[1]) for call in calls), *calls, good)
    assert survives(server)
    r = server.client()
    held = r.keys()
    assert 100 < server.log().count(LEFT_OUT) == len(calls) + 1 - len(held)
    assert TOKEN in held and len(held) > 100  # some bytes are of names and data
    for token in held:
        assert len(r.execute_command("SESSIONGATE.PGETALL", KEY, token)) == 2 * 3
    stays_loadable(server)


def test_a_session_whose_chunk_was_lost_is_left_out_as_a_whole(make_server):
    server = appending(make_server, aof_use_rdb_preamble="no")
    r = server.client()
    token, bystander = start(r, KEY, 1000), start(r, KEY, 1000)
    for number in range(5):
        pset(r, token, b"%d" % number, b"d" * 70_000)
    r.bgrewriteaof()
    server.wait_saved()
    [base] = (server.directory / "appendonlydir").glob("*.base.aof")
    whole, before = base.read_bytes(), server.sessions()
    [stored] = [command for command in commands_in(whole) if command[:2] == [LOAD, token]]
    assert len(stored) == 2 + 5
    for lost in range(2, len(stored)):
        fewer = stored[:lost] + stored[lost + 1:]
        server.kill9()
        base.write_bytes(whole.replace(Wire.encode(*stored), Wire.encode(*fewer)))
        server.start()
        assert server.sessions() == {bystander: before[bystander]}
        assert server.log().count(LEFT_OUT) == lost - 1
    server.kill9()
    base.write_bytes(whole)
    server.start()
    assert server.sessions() == before


def stays_loadable(server):
    """RDB, AOF and DUMP of what it holds can all be loaded again, and are the same."""
    client = server.client()
    held = server.sessions()
    assert client.execute_command("DEBUG", "RELOAD")
    assert server.sessions() == held
    for preamble in ("yes", "no"):
        client.config_set("aof-use-rdb-preamble", preamble)
        client.bgrewriteaof()
        server.wait_saved()
        assert client.execute_command("DEBUG", "LOADAOF")
        assert server.sessions() == held
    for token, (_, expires_at) in held.items():
        ttl = 60_000 if expires_at > 0 else 0  # whether there is one counts in the digest
        assert client.restore(b"copy", ttl, client.dump(token), replace=True)
        one, other = client.execute_command("DEBUG", "DIGEST-VALUE", token, b"copy")
        assert one == other
    client.delete(b"copy")


@pytest.mark.slow
def test_an_aof_of_random_internal_commands_is_loaded_or_refused(make_server, rng, rounds):
    loaded = 0
    for _ in range(rounds(10)):
        words = [TOKEN, TOKEN, OTHER, b"", b"n", b"d" * 300, b"0", b"-1", b"1", b"9" * 15,
                 b"\xff" * 70_000, rng.randbytes(8)]
        commands = [(rng.choice(INTERNAL), *rng.choices(words, k=rng.randrange(9)))
                    for _ in range(300)]
        server = forged(make_server, *commands)
        if survives(server):
            loaded += 1
            stays_loadable(server)
            server.kill9()
    assert loaded > 0
