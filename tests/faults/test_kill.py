"""kill -9 of a server under writers, with every write synced to the AOF before it is acknowledged.

Each writer has its own connection and its own sessions, keeps what was acknowledged, and knows the
one call that was in flight when the connection broke. After the restart a session is as
acknowledged; only the session of the call in flight may also be as that call leaves it.
"""

import copy
import threading
import time

import pytest

from harness import KEY, Wire, end

WRITERS = 4
NAMES = [b"user", b"cart", b"\0", b"csrf", b"n" * 200]
NO_SESSION, NO_PAYLOAD = "NOSESSION", "NOPAYLOAD"


def now_ms():
    return time.time_ns() // 1_000_000


class Session:
    """What was acknowledged of a session: payloads, and the earliest and latest time of expiry: its
    own, and that of each payload that has one. What lives for a millisecond is over when it is
    looked at."""

    def __init__(self):
        self.alive = False
        self.payloads = {}
        self.ends = {}
        self.expires = None

    def __str__(self):
        return str(vars(self))[:500]

    def apply(self, command, arguments, sent, acknowledged):
        if command in ("PSET", "PDEL"):
            name, *rest = arguments
            life = dict(zip(rest[1::2], rest[2::2])).get("PX")
            self.payloads.pop(name, None)
            self.ends.pop(name, None)
            if command == "PSET" and life != 1:
                self.payloads[name] = rest[0]
            if life and life > 1:
                self.ends[name] = (sent + life, acknowledged + life)
        elif command in ("END", "ROTATE"):
            self.alive = False
        else:
            self.alive = True
            self.expires = (sent + arguments[0] * 1000, acknowledged + arguments[0] * 1000)

    def held(self, expires_at, read, left, asked):
        """Whether the server holds just this, by PEXPIRETIME, and PGET and PTTL of each of NAMES,
        that were asked for between two times."""
        if not self.alive:
            return expires_at == -2 and set(read) == {NO_SESSION}
        first, last = self.expires
        return first <= expires_at <= last and \
            read == [self.payloads.get(name, NO_PAYLOAD) for name in NAMES] and \
            all(self.ends_right(*each, asked) for each in zip(NAMES, left))

    def ends_right(self, name, left, asked):
        if name not in self.ends:
            return left == (-1 if name in self.payloads else NO_PAYLOAD)
        first, last = self.ends[name]
        return isinstance(left, int) and first - asked[1] <= left <= last - asked[0]


class Writer(threading.Thread):
    def __init__(self, server, rng, sessions):
        super().__init__()
        self.wire = server.wire()
        self.rng = rng
        self.sessions = sessions  # {token: Session}, ended ones among them; kept over the rounds
        self.living = [token for token in sessions if sessions[token].alive]
        self.acknowledged = 0
        self.in_flight = None  # (token or None for START, command, arguments, sent)
        self.wrong = None

    def run(self):
        try:
            while True:
                token, command, arguments = self.choose()
                self.in_flight = token, command, arguments, now_ms()
                parts = (token, *arguments) if token else arguments
                reply = self.wire.call("SESSIONGATE." + command, KEY, *parts)
                token_is_due = command in ("START", "ROTATE")
                if not (isinstance(reply, bytes) if token_is_due else reply == "OK"):
                    self.wrong = f"{command} was answered {reply!r}"
                    return
                if command == "START":
                    token = reply
                    self.sessions[token] = Session()
                elif command == "ROTATE":
                    self.sessions[reply] = copy.deepcopy(self.sessions[token])
                if token_is_due:
                    self.living.append(reply)
                self.sessions[token].apply(command, arguments, self.in_flight[3], now_ms())
                if command in ("END", "ROTATE"):
                    self.living.remove(token)
                self.in_flight = None
                self.acknowledged += 1
        except OSError:  # the server is dead
            pass
        finally:
            self.wire.close()

    def choose(self):
        rng = self.rng
        if len(self.living) < 3 or rng.random() < 0.1:
            return None, "START", (rng.randrange(1000, 100_000),)
        token = rng.choice(self.living)
        command = rng.choices(("PSET", "PDEL", "EXPIRE", "END", "ROTATE"), (6, 2, 2, 1, 1))[0]
        name = rng.choice(NAMES)
        if command in ("END", "ROTATE"):
            return token, command, ()
        if command == "EXPIRE":
            return token, command, (rng.randrange(1000, 100_000),)
        held = self.sessions[token].payloads
        if command == "PDEL" and name in held:
            return token, command, (name, *rng.choice(((), ("IFEQ", held[name]))))
        life = rng.choice(((), ("PX", 1), ("PX", rng.randrange(1, 100) * 1_000_000)))
        condition = rng.choice(((), ("IFEQ", held[name]))) if name in held else ()
        data = rng.randbytes(rng.choice((1, 30, 300, 30_000)))
        return token, "PSET", (name, data, *condition, *life)


def found(wire, tokens):
    """{token: (PEXPIRETIME, what PGET and PTTL of each of NAMES answer, when that was asked)} of the
    server."""
    asked = now_ms()
    times = wire.pipeline(("PEXPIRETIME", token) for token in tokens)

    def of_names(command):
        replies = wire.pipeline((("SESSIONGATE." + command, KEY, token, name)
                                 for token in tokens for name in NAMES), batch=100)
        return (reply.code if isinstance(reply, Wire.Error) else reply for reply in replies)
    read, left = of_names("PGET"), of_names("PTTL")
    asked = asked, now_ms()
    return {token: (time, [next(read) for _ in NAMES], [next(left) for _ in NAMES], asked)
            for token, time in zip(tokens, times)}


def check(server, writers):
    """Every session is as acknowledged. Answers how many calls in flight had taken effect."""
    took_effect = 0
    known, moved = set(), []
    with server.wire() as wire:
        for writer in writers:
            known.update(writer.sessions)
            for token, holds in found(wire, list(writer.sessions)).items():
                session = writer.sessions[token]
                if session.held(*holds):
                    continue
                assert writer.in_flight and writer.in_flight[0] == token, \
                    f"{token} had no call in flight: acknowledged {session}, found {holds}"
                _, command, arguments, sent = writer.in_flight
                if command == "ROTATE":
                    moved.append(copy.deepcopy(session))
                before = str(session)
                session.apply(command, arguments, sent, now_ms())
                assert session.held(*holds), \
                    f"{token}: neither {before} nor as after {command} {arguments}: {holds}"
                took_effect += 1
        # Nobody was told the token that a START or ROTATE in flight made.
        unknown = found(wire, sorted(set(wire.call("KEYS", "*")) - known))
        started = sum(1 for w in writers if w.in_flight and w.in_flight[1] == "START")
        assert len(moved) <= len(unknown) <= len(moved) + started, f"nobody started {unknown}"
        for session in moved:
            assert any(session.held(*holds) for holds in unknown.values()), \
                f"rotated, and gone: {session}"
        for token in unknown:
            end(server.client(), token)
        return took_effect + len(unknown) - len(moved)


def kill_in_rounds(server, rng, rounds):
    sessions = [{} for _ in range(WRITERS)]
    acknowledged = took_effect = killed_rewriting = rewrites = 0
    began = time.monotonic()
    for number in range(rounds):
        writers = [Writer(server, rng, held) for held in sessions]
        for writer in writers:
            writer.rng = type(rng)(rng.random())
            writer.start()
        target = rng.randrange(400, 1600)
        client = server.client()
        while True:
            now = client.info("persistence")
            rewriting = now["aof_rewrite_in_progress"]
            done = sum(writer.acknowledged for writer in writers)
            wrong = [writer.wrong for writer in writers if writer.wrong]
            assert not wrong, wrong
            if done >= target and (rewriting or number % 3 == 2):  # each third: at any moment
                break
            if not rewriting and not now["aof_rewrite_scheduled"] and done > target // 2:
                client.bgrewriteaof()
                rewrites += 1
        server.kill9()
        for writer in writers:
            writer.join()
        killed_rewriting += rewriting
        acknowledged += sum(writer.acknowledged for writer in writers)
        server.start()
        took_effect += check(server, writers)
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s, {acknowledged} acknowledged, "
          f"{sum(map(len, sessions))} sessions; {rewrites} rewrites, {killed_rewriting} killed; "
          f"of {rounds * WRITERS} calls in flight {took_effect} took effect")
    assert killed_rewriting >= rounds // 2


def durable(make_server, preamble):
    return make_server(appendonly="yes", appendfsync="always", aof_use_rdb_preamble=preamble,
                       auto_aof_rewrite_percentage=0,
                       rdb_key_save_delay=1000)  # us a key: a rewrite takes long enough to be hit


@pytest.mark.slow
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_kill_9_loses_nothing_acknowledged(make_server, rng, rounds, preamble):
    kill_in_rounds(durable(make_server, preamble), rng, rounds(3))


@pytest.mark.full
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_twenty_rounds_of_kill_9_lose_nothing_acknowledged(make_server, rng, rounds, preamble):
    kill_in_rounds(durable(make_server, preamble), rng, rounds(20))
