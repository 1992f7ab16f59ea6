"""The threads of a server: those that read and write sockets, and the one that frees.

Large replies are queued for clients that do not read, while what they were made from is
overwritten, ended or flushed by others. When the clients read at last, each byte must be right.
"""

import hashlib

import pytest

from harness import KEY, Wire, wait_for

NAMES = (b"large", b"middle", b"small")
SIZES = {b"large": 1_500_000, b"middle": 70_000, b"small": 17_000}
READERS = 6
SESSIONS = 3


def data_of(token, name, version=0):
    return hashlib.shake_128(b"%b %b %d" % (token, name, version)).digest(SIZES[name])


@pytest.fixture(scope="module", params=[1, 4], ids="io-threads-{}".format)
def module_server(request, new_server):
    config = {f"lazyfree-lazy-{what}": "yes" for what in ("eviction", "expire", "server-del",
                                                          "user-del", "user-flush")}
    server = new_server(io_threads=request.param, **config)
    if server.version < (8, 0) and not server.valkey:
        server.config["io_threads_do_reads"] = "yes"
    server.start()
    yield server
    server.close()


def filled(wire):
    tokens = wire.pipeline([("SESSIONGATE.START", KEY, 5000)] * SESSIONS)
    for name in NAMES:
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, data_of(token, name))
                      for token in tokens)
    # Enough payloads for the server to free them elsewhere.
    wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"n%d" % i, b"d",
                   *(("EX", 1000 + i) if i % 2 else ())) for token in tokens for i in range(200))
    return tokens


def let_end(wire, tokens):
    """Those that were asked for end, and the next write removes them."""
    names = [(token, name) for token in tokens for name in NAMES]
    wire.pipeline(("SESSIONGATE.PSET", KEY, *each, data_of(*each, 1), "PX", 1) for each in names)
    left = [("SESSIONGATE.PTTL", KEY, *each) for each in names]
    wait_for(lambda: all(isinstance(reply, Wire.Error) for reply in wire.pipeline(left)), 10,
             "they are over")
    return wire.pipeline(("SESSIONGATE.TOUCH", KEY, token) for token in tokens)


def overwrite(wire, tokens):
    wire.pipeline(("SESSIONGATE.PSET", KEY, token, name, data_of(token, name, 1))
                  for token in tokens for name in NAMES)


def delete(wire, tokens):
    wire.pipeline(("SESSIONGATE.PDEL", KEY, token, name) for token in tokens for name in NAMES)


def for_each(*command):
    """The command on each token; the token goes where the command has None."""
    return lambda wire, tokens: wire.pipeline(
        [token if word is None else word for word in command] for token in tokens)


def once(*command):
    return lambda wire, tokens: wire.pipeline([command])


CHANGES = {
    "PSET": overwrite,
    "PDEL": delete,
    "an end": let_end,
    "END": for_each("SESSIONGATE.END", KEY, None),
    "EXPIRE 0": for_each("SESSIONGATE.EXPIRE", KEY, None, 0),
    "ROTATE": for_each("SESSIONGATE.ROTATE", KEY, None),
    "UNLINK": for_each("UNLINK", None),
    "DEL": for_each("DEL", None),
    "SET": for_each("SET", None, "another value"),
    "expiry": for_each("PEXPIRE", None, 1),
    "FLUSHALL ASYNC": once("FLUSHALL", "ASYNC"),
    "FLUSHALL SYNC": once("FLUSHALL", "SYNC"),
    "a reload": once("DEBUG", "RELOAD"),
}


def calls(client, command):
    return client.info("commandstats").get("cmdstat_SESSIONGATE." + command, {}).get("calls", 0)


@pytest.mark.parametrize("change", CHANGES)
def test_replies_to_slow_readers_stay_right_when_the_session_changes(server, change):
    client = server.client()
    client.config_resetstat()
    with server.wire() as wire:
        tokens = filled(wire)
        readers = [server.wire() for _ in range(READERS)]
        asked = [(token, name) for token in tokens for name in NAMES]
        for reader in readers:
            reader.socket.sendall(b"".join(Wire.encode("SESSIONGATE.PGET", KEY, token, name)
                                           for token, name in asked))
            reader.send("SESSIONGATE.PGETALL", KEY, tokens[0])
        wait_for(lambda: calls(client, "PGETALL") == READERS, 30, "all were answered, to nobody")
        replies = CHANGES[change](wire, tokens)
        assert not any(isinstance(reply, Wire.Error) for reply in replies or [])
        wait_for(lambda: client.info("memory")["lazyfree_pending_objects"] == 0, 10, "all freed")
        right = {(token, name): data_of(token, name) for token, name in asked}
        for reader in readers:
            with reader:
                for token, name in asked:
                    assert reader.read() == right[token, name], name
                everything = iter(reader.read())
                everything = dict(zip(everything, everything))
                assert {name: everything[name] for name in NAMES} == \
                    {name: right[tokens[0], name] for name in NAMES}
                assert len(everything) == len(NAMES) + 200
        if change == "PSET":
            read = wire.pipeline(("SESSIONGATE.PGET", KEY, token, name) for token, name in asked)
            assert read == [data_of(token, name, 1) for token, name in asked]


@pytest.mark.slow
def test_many_clients_that_write_and_read_at_once_get_their_own_bytes(server, rng):
    """Each batch is sent for all clients before any reads: the io threads share the work."""
    wires = [server.wire() for _ in range(24)]
    tokens = [wire.call("SESSIONGATE.START", KEY, 5000) for wire in wires]
    for version in range(8):
        for wire, token in zip(wires, tokens):
            wire.socket.sendall(b"".join(
                Wire.encode("SESSIONGATE.PSET", KEY, token, name, data_of(token, name, version))
                + Wire.encode("SESSIONGATE.PGET", KEY, token, name)
                for name in (b"middle", b"small") for _ in range(2)))
        if version == 4:
            server.client().execute_command("BGREWRITEAOF")
        for wire, token in zip(wires, tokens):
            for name in (b"middle", b"small"):
                for _ in range(2):
                    assert wire.read() == "OK"
                    assert wire.read() == data_of(token, name, version)
    for wire in wires:
        wire.close()
    server.wait_saved()
