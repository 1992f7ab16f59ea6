"""Clients that act on one session at the same time."""

import threading

import pytest

from features import payloads, sg
from harness import KEY, Wire, error_code, pget, start

ROUNDS = 100


def together(server, *calls):
    """Carry out the calls at the same time, each in a thread with a connection of its own. Each is
    called with its Wire. Returns what they return."""
    answers = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(index):
        with server.wire() as wire:
            barrier.wait(30)
            answers[index] = calls[index](wire)
    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert None not in answers, "a thread failed"
    return answers


def in_step(wires, command_of, rounds=ROUNDS):
    """In each round, send every wire's command at nearly the same moment, in turns first; yields
    (round, replies)."""
    for round in range(rounds):
        commands = [Wire.encode(*command) for command in command_of(round)]
        order = list(range(len(wires)))
        for index in order if round % 2 else reversed(order):
            wires[index].socket.sendall(commands[index])
        yield round, [wire.read() for wire in wires]


def test_writers_of_different_payloads_lose_none(server, r):
    token = start(r)
    writers, writes = 4, 200

    def write(writer):
        def run(wire):
            for n in range(writes):
                name = b"%d of writer %d" % (n, writer)
                if n % 3 == 0:
                    reply = wire.call("SESSIONGATE.PMSET", KEY, token, name, name, name + b"'",
                                      name)
                else:
                    reply = wire.call("SESSIONGATE.PSET", KEY, token, name, name)
                assert reply == "OK"
                if n % 10 == 9:
                    assert wire.call("SESSIONGATE.PDEL", KEY, token, name) == "OK"
            return True
        return run
    together(server, *map(write, range(writers)))
    expected = {}
    for writer in range(writers):
        for n in range(writes):
            name = b"%d of writer %d" % (n, writer)
            if n % 10 != 9:
                expected[name] = name
            if n % 3 == 0:
                expected[name + b"'"] = name
    assert payloads(r, token) == expected


def test_a_payload_is_popped_by_one_client_only(server, r):
    token = start(r)
    sg(r, "PMSET", token, *[part for n in range(ROUNDS) for part in (b"%d" % n, b"code %d" % n)])

    def pop(wire):
        return wire.pipeline(("SESSIONGATE.PPOP", KEY, token, b"%d" % n) for n in range(ROUNDS))
    for n, replies in enumerate(zip(*together(server, pop, pop, pop))):
        assert [reply for reply in replies if isinstance(reply, bytes)] == [b"code %d" % n]


def test_a_payload_set_if_new_is_set_by_one_client_only(server, r):
    token = start(r)

    def claim(who):
        return lambda wire: wire.pipeline(
            ("SESSIONGATE.PSET", KEY, token, b"%d" % n, who, b"NX") for n in range(ROUNDS))
    for n, replies in enumerate(zip(*together(server, claim(b"a"), claim(b"b")))):
        winners = [who for who, reply in zip((b"a", b"b"), replies) if reply == "OK"]
        assert winners == [pget(r, token, b"%d" % n)]


AGAINST_END = {
    "PSET": lambda token: ("SESSIONGATE.PSET", KEY, token, b"n", b"d"),
    "PSET NX": lambda token: ("SESSIONGATE.PSET", KEY, token, b"n", b"d", b"NX"),
    "PMSET": lambda token: ("SESSIONGATE.PMSET", KEY, token, b"n", b"d", b"m", b"d"),
    "TOUCH": lambda token: ("SESSIONGATE.TOUCH", KEY, token),
    "EXPIRE": lambda token: ("SESSIONGATE.EXPIRE", KEY, token, 100),
    "ROTATE GRACE": lambda token: ("SESSIONGATE.ROTATE", KEY, token, b"GRACE", 60),
}


@pytest.mark.parametrize("over", [("SESSIONGATE.END",), ("SESSIONGATE.EXPIRE", 0)],
                         ids=["END", "EXPIRE 0"])
@pytest.mark.parametrize("other", AGAINST_END)
def test_nothing_that_races_an_end_leaves_a_living_session(server, r, over, other):
    """Whichever comes first, the session is over: a write never revives it, and an end through a
    token that was just rotated ends the successor."""
    with server.wire() as one, server.wire() as two, server.wire() as three:
        tokens = one.pipeline([("SESSIONGATE.START", KEY, 60)] * ROUNDS)
        refused = 0
        name, *rest = over

        def commands(round):
            token = tokens[round]
            return (name, KEY, token, *rest), AGAINST_END[other](token), AGAINST_END[other](token)
        for round, replies in in_step([one, two, three], commands):
            assert replies[0] == "OK"
            for reply in replies[1:]:
                assert not isinstance(reply, Wire.Error) or reply.code == "NOSESSION"
            refused += sum(isinstance(reply, Wire.Error) for reply in replies)
            assert error_code(sg, r, "TTL", tokens[round]) == "NOSESSION"
            rotated = [reply for reply in replies[1:] if isinstance(reply, bytes)]
            assert len(set(rotated)) <= 1
            for token in rotated:
                assert error_code(sg, r, "TTL", token) == "NOSESSION"
        assert 0 < refused < 2 * ROUNDS, "the calls always came in the same order"
    assert r.dbsize() == 0


def test_of_an_end_and_a_rotation_without_grace_the_first_wins(server, r):
    with server.wire() as one, server.wire() as two:
        tokens = one.pipeline([("SESSIONGATE.START", KEY, 60)] * ROUNDS)
        living = set()
        for _, (ended, rotated) in in_step([one, two], lambda round: (
                ("SESSIONGATE.END", KEY, tokens[round]),
                ("SESSIONGATE.ROTATE", KEY, tokens[round]))):
            assert (ended == "OK") != isinstance(rotated, bytes)
            assert "NOSESSION" in (getattr(ended, "code", None), getattr(rotated, "code", None))
            if ended != "OK":
                living.add(rotated)
    assert 0 < len(living) < ROUNDS, "the calls always came in the same order"
    assert set(r.keys()) == living


def test_parallel_rotations_with_grace_give_one_successor(server, r):
    for form in ("v1", "v2"):
        tokens = [sg(r, "START", 60, "FORMAT", form, "PAYLOADS", 1, b"n", b"d") for _ in range(50)]

        def rotate(wire):
            return wire.pipeline((("SESSIONGATE.ROTATE", KEY, token, b"GRACE", 60)
                                  for token in tokens), batch=5)
        successors = set()
        for answers in zip(*together(server, *[rotate] * 8)):
            assert len(set(answers)) == 1
            successors.add(answers[0])
        assert len(successors) == 50
        assert set(r.keys()) == successors | set(tokens)
        assert all(payloads(r, token) == {b"n": b"d"} for token in [*tokens, *successors])
        r.flushall()


def test_a_write_beside_a_rotation_with_grace_is_never_lost(server, r):
    with server.wire() as one, server.wire() as two:
        tokens = one.pipeline([("SESSIONGATE.START", KEY, 60)] * ROUNDS)
        for round, (rotated, written) in in_step([one, two], lambda round: (
                ("SESSIONGATE.ROTATE", KEY, tokens[round], b"GRACE", 60),
                ("SESSIONGATE.PSET", KEY, tokens[round], b"n", b"d"))):
            assert written == "OK"
            assert pget(r, rotated, b"n") == pget(r, tokens[round], b"n") == b"d"


def test_a_storm_of_all_commands_leaves_what_the_last_end_says(server, r):
    """Writers, rotators and readers go on while a session ends; afterwards nobody finds it."""
    for _ in range(20):
        token = start(r)
        written, stop = threading.Semaphore(0), threading.Event()

        def write(wire):
            while not stop.is_set():
                for command in AGAINST_END.values():
                    reply = wire.call(*command(token))
                    assert not isinstance(reply, Wire.Error) or reply.code == "NOSESSION", reply
                written.release()
            return True

        def finish(wire):
            for _ in range(6):
                assert written.acquire(timeout=30)
            reply = wire.call("SESSIONGATE.END", KEY, token)
            stop.set()
            return reply
        assert together(server, write, write, write, finish) == [True, True, True, "OK"]
        assert r.dbsize() == 0


def test_calls_through_an_alias_leak_nothing(server, r):
    old = sg(r, "START", 1000, "PAYLOADS", 1, b"n", b"d")
    sg(r, "ROTATE", sg(r, "ROTATE", old, "GRACE", 300), "GRACE", 300)
    calls = [("SESSIONGATE." + command, KEY, old, *rest) for command, *rest in (
        ("PGET", b"n"), ("PGET", b"absent"), ("PSET", b"n", b"d"), ("PMGET", b"n", b"m"),
        ("TOUCH",), ("ROTATE", "GRACE", 300), ("INFO",), ("PGETALL",), ("EXPIRE", 1000), ("PGET", b""),
        ("ADOPT", 60))]
    with server.wire() as wire:
        def used():
            wire.pipeline(calls * 50)
            return wire.call("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0]
        before = int(used())
        wire.pipeline(calls * 2000)
        assert int(used()) - before < 200_000, "a token of 84 bytes lost in each call would be more"
