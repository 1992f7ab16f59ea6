"""Load on a cluster, and the checker of what it is answered.

Each session is written by one writer, one call at a time, so its history is a list of operations,
and what it is now is decided by how many of them, from the first, stand. At least `sure` of them
do, and at most all that were sent. A read is right if some number in that range explains its
answer:

    operations   START   PSET a=1   PSET b=1   PDEL a   EXPIRE 5        (EXPIRE: not yet answered)
    may stand                                  4 ..... 5                (sure = 4)
    b            right: its data; or NOSESSION, if 5 s have gone by since the EXPIRE was sent
    a            right: NOPAYLOAD, or the same NOSESSION

An operation is sure when it was acknowledged, and, on a load that waits, when WAIT then said on the
same connection that a replica has it: that is all that a cluster promises to keep through a
failover, and only where that replica is the one promoted (so give each master one). An operation
that is not sure ends its session's history: nothing more is written to it, since the operation
might come into force at any later moment, or what followed it might be kept without it. The session
is still read.

A wrong answer breaks one of these sentences, or is an error that no cluster client handles:
"""

import logging
import random
import threading
import time

import redis
import redis.cluster

from cluster import Client, NoAnswer
from harness import KEY, Wire, wait_for

LOST = "no acknowledged write is lost"
RISEN = "no ended session is alive again"
OVERDUE = "no session outlives its TTL, no payload its life"
FOREIGN = "no payload comes from another session"
HANDLED = "no error but those that a cluster client handles"
SENTENCES = (LOST, RISEN, OVERDUE, FOREIGN, HANDLED)

NAMES = (b"user", b"cart", b"\0\xff\r\n", b"n" * 200)
UNUSED_NAME = b"never set"
LIFE = 40  # operations after which a session is written no more
POOL = 60  # sessions that one writer keeps
CLOCK = 0.002  # seconds; servers count whole milliseconds
DRIFT = 1.0  # seconds; MIGRATE sends the TTL that is left, so the time on the way is added


class Operation:
    """`over`: the earliest and the latest moment at which a START or EXPIRE ends the session, or a
    PSET with a life its payload. With a `ttl` the earliest counts from now; the latest is known
    when it is answered."""

    def __init__(self, kind, name=None, size=0, over=None, ttl=None):
        self.kind, self.name, self.size, self.ttl = kind, name, size, ttl
        self.over = over if ttl is None else (time.time() + ttl, float("inf"))

    def may_be_over(self, answered):
        return self.over is not None and self.over[0] - CLOCK <= answered

    def may_last(self, sent):
        return self.over is None or sent <= self.over[1] + CLOCK


class Session:
    def __init__(self, token, started, sure):
        self.token = token
        self.history = [started]
        self.sure = 1 if sure else 0
        self.writable = sure

    def data(self, index):
        """The data that the operation with that index sets; no two operations set the same."""
        operation = self.history[index]
        head = b"%s|%s|%d|" % (self.token, operation.name, index)
        return head + b"." * operation.size


class State:
    """What a session is after the first `count` operations of its history."""

    def __init__(self, history, count):
        self.living = count > 0
        self.over = None
        self.payloads = {}
        for index, operation in enumerate(history[:count]):
            if operation.kind == "PSET":
                self.payloads[operation.name] = index
            elif operation.kind == "PDEL":
                self.payloads.pop(operation.name, None)
            elif operation.kind == "END":
                self.living = False
            else:
                self.over = operation.over

    def may_be_gone(self, answered):
        return not self.living or self.over[0] - CLOCK <= answered

    def may_be_there(self, sent, drift):
        return self.living and sent <= self.over[1] + CLOCK + drift


def broken(session, name, sure, sent, answered, answer, drift=0):
    """The sentence that the answer to a PGET breaks, or None.

    sure             of the session, before the PGET was sent
    sent, answered   when, in seconds since the epoch
    drift            seconds that the session's life may have been prolonged by
    """
    history = list(session.history)
    states = [State(history, count) for count in range(min(sure, len(history)), len(history) + 1)]
    there = [state for state in states if state.may_be_there(sent, drift)]
    if isinstance(answer, Wire.Error):
        if answer.code == "NOSESSION":
            return None if any(state.may_be_gone(answered) for state in states) else LOST
        if answer.code != "NOPAYLOAD":
            return HANDLED
    elif not answer.startswith(b"%s|%s|" % (session.token, name)):
        return FOREIGN
    if not there:
        return OVERDUE if any(state.living for state in states) else RISEN
    verdicts = [of_payload(session, state.payloads.get(name), sent, answered, answer)
                for state in there]
    return None if None in verdicts else OVERDUE if OVERDUE in verdicts else LOST


def of_payload(session, index, sent, answered, answer):
    """The sentence that the answer breaks if the operation of that index set the payload last; None
    for an index is none."""
    is_error = isinstance(answer, Wire.Error)
    if index is None:
        return None if is_error else LOST
    operation = session.history[index]
    if is_error:
        return None if operation.may_be_over(answered) else LOST
    if answer != session.data(index):
        return LOST
    return None if operation.may_last(sent) else OVERDUE


class RedisPy:
    """The cluster client of redis-py in Client's clothes. It asks no WAIT."""

    def __init__(self, ports, seed=None):
        logging.getLogger("redis.cluster").disabled = True  # it logs what it handles as errors
        self.random = random.Random(seed)
        self.client = redis.cluster.RedisCluster(host="127.0.0.1", port=ports[0])
        self.handled = {}

    def read(self, token, *command):
        keywords = {}
        if token is None:  # a command without a key has to be told where to go
            keywords["target_nodes"] = self.random.choice(self.client.get_primaries())
        try:
            reply = self.client.execute_command(*command, **keywords)
        except redis.ResponseError as error:
            answer = Wire.Error(error)
            if token is None and answer.code == "NOSLOT":  # so another master is to be asked
                return self.read(token, *command)
            return answer
        return reply.decode() if reply == b"OK" else reply

    def write(self, token, *command):
        return self.read(token, *command), 0

    def close(self):
        self.client.close()


class Load:
    """Writers and readers, each a thread with a client of its own, from `with` until stop().

    ports     of the cluster's nodes
    waits     True: only what one replica acknowledged by WAIT counts as sure
    rate      calls a second of each thread, at most
    client    makes a client: Client, or RedisPy for a load that does not wait
    timeout   seconds until a client gives an answer up
    drift     DRIFT where slots are moved key by key
    kinds     of workers, those that write and those that read: (Writer, Reader) by default
    broken    {sentence: texts of the answers that broke it}
    counts    {what: how often}
    sessions  all that were started
    """

    sentences = SENTENCES

    def __init__(self, ports, seed, waits=False, writers=2, readers=2, rate=250, timeout=30,
                 drift=0, client=None, kinds=None):
        self.ports, self.seed, self.waits, self.rate = ports, seed, waits, rate
        self.make_client = client or (lambda ports, seed: Client(ports, int(waits), timeout, seed))
        self.drift = drift
        self.broken = {sentence: [] for sentence in self.sentences}
        self.sessions = []
        self.counts = {}
        self.handled = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        counts = zip(kinds or (Writer, Reader), (writers, readers))
        self.threads = [threading.Thread(target=self._run,
                                         args=(kind, f"{seed} {kind.__name__} {number}"))
                        for kind, count in counts for number in range(count)]
        self.workers = []

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()

    def met(self, code):
        """How often clients have met that error up to now."""
        return sum(worker.client.handled.get(code, 0) for worker in self.workers)

    def wait_writes(self, more, seconds=60):
        """Wait until that many more writes are sure."""
        target = self.counts.get("writes sure", 0) + more
        wait_for(lambda: self.counts.get("writes sure", 0) >= target or any(self.broken.values()),
                 seconds, f"{more} more writes")

    def verify(self, progress=lambda done: None):
        """After stop(): read each payload of each session once more."""
        reader = Reader(self, f"{self.seed} verify")
        try:
            for done, session in enumerate(self.sessions):
                progress(done)
                for name in {each.name for each in session.history if each.name} | {UNUSED_NAME}:
                    reader.check(session, name)
            self.count("sessions checked", len(self.sessions))
        finally:
            reader.close()

    def assert_right(self):
        texts = [f"{sentence}: {text}" for sentence in self.sentences
                 for text in self.broken[sentence][:3]]
        assert not texts, "\n".join([f"seed {self.seed}; handled {self.handled}", *texts])

    def count(self, what, more=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + more

    def complain(self, sentence, text):
        with self.lock:
            self.broken[sentence].append(text)

    def _run(self, kind, seed):
        worker = kind(self, seed)
        self.workers.append(worker)
        begun, done = time.monotonic(), 0
        try:
            while not self.stopping.is_set():
                worker.step()
                done += 1
                self.stopping.wait(max(0, begun + done / self.rate - time.monotonic()))
        except Exception as error:
            self.complain(HANDLED, f"a {kind.__name__} ended: {type(error).__name__}: {error}")
        finally:
            worker.close()


class Worker:
    def __init__(self, load, seed):
        self.load = load
        self.random = random.Random(seed)
        self.client = load.make_client(load.ports, seed)

    def close(self):
        with self.load.lock:
            for code, count in self.client.handled.items():
                self.load.handled[code] = self.load.handled.get(code, 0) + count
        self.client.close()


class Writer(Worker):
    def __init__(self, load, seed):
        super().__init__(load, seed)
        self.pool = []
        self.ended = []

    def step(self):
        self.pool = [session for session in self.pool
                     if session.writable and len(session.history) < LIFE]
        dice = self.random.random()
        if len(self.pool) < POOL / 4 or (dice < 0.1 and len(self.pool) < POOL):
            return self.start()
        session = self.random.choice(self.pool)
        name = self.random.choice(NAMES)
        if dice < 0.6:
            size = self.random.choice((0, 10, 100, 100, 1000, 20000))
            life = self.random.choice((None, None, 1, 3, 600))
            words = () if life is None else ("EX", life)
            return self.write(session, Operation("PSET", name, size, ttl=life), *words)
        if dice < 0.75:
            return self.write(session, Operation("PDEL", name))
        if dice < 0.85:
            return self.expire(session, self.random.choice((1, 3, 600)))
        if dice < 0.92:
            return self.write(session, Operation("END"))
        if self.ended:
            self.write_late(self.random.choice(self.ended))

    def call(self, operation, token, *command):
        """(the reply or None, whether it is sure); notes when the session will be over."""
        try:
            reply, replicas = self.client.write(token, *command)
        except NoAnswer:
            self.load.count("writes without an answer")
            return None, False
        if operation.ttl is not None:
            operation.over = (operation.over[0], time.time() + operation.ttl)
        sure = replicas >= self.load.waits
        if not isinstance(reply, Wire.Error):
            self.load.count("writes sure" if sure else "writes acknowledged, not waited for")
        return reply, sure

    def start(self):
        ttl = self.random.choice((1, 3, 30, 600))
        started = Operation("START", ttl=ttl)
        token, sure = self.call(started, None, "SESSIONGATE.START", KEY, ttl)
        if isinstance(token, bytes):
            session = Session(token, started, sure)
            self.pool.append(session)
            self.load.sessions.append(session)
        elif token is not None:
            self.load.complain(HANDLED, f"START answered {token}")

    def expire(self, session, ttl):
        self.write(session, Operation("EXPIRE", ttl=ttl), ttl)

    def write(self, session, operation, *arguments):
        before = State(session.history, len(session.history))
        session.history.append(operation)
        if operation.kind == "PSET":
            arguments = (operation.name, session.data(len(session.history) - 1), *arguments)
        elif operation.kind == "PDEL":
            arguments = (operation.name,)
        sent = time.time()
        reply, sure = self.call(operation, session.token, f"SESSIONGATE.{operation.kind}", KEY,
                                session.token, *arguments)
        answered = time.time()
        self.judge(session, operation, before, sent, answered, reply)
        if isinstance(reply, Wire.Error):
            session.history.pop()
            session.writable = reply.code == "NOPAYLOAD"
        else:
            session.writable = sure and operation.kind != "END"
            if sure:
                session.sure = len(session.history)
                if operation.kind == "END":
                    self.ended.append(session)

    def judge(self, session, operation, before, sent, answered, reply):
        if reply is None:
            return
        text = f"{operation.kind} on {session.token} {where(session)} answered {reply}"
        if reply == "OK":
            if not before.may_be_there(sent, self.load.drift):
                self.load.complain(OVERDUE, text)
            elif operation.kind == "PDEL":
                self.judge_deleted(session, operation, before, sent, text)
        elif reply.code == "NOSESSION":
            if not before.may_be_gone(answered):
                self.load.complain(LOST, text)
        elif reply.code == "NOPAYLOAD" and operation.kind == "PDEL":
            index = before.payloads.get(operation.name)
            if index is not None and not session.history[index].may_be_over(answered):
                self.load.complain(LOST, text)
        else:
            self.load.complain(HANDLED, text)

    def judge_deleted(self, session, operation, before, sent, text):
        index = before.payloads.get(operation.name)
        if index is None:
            self.load.complain(LOST, text)
        elif not session.history[index].may_last(sent):
            self.load.complain(OVERDUE, text)

    def write_late(self, session):
        """A write that comes after the session was ended is refused, and does not bring it back."""
        try:
            reply, _ = self.client.write(session.token, "SESSIONGATE.PSET", KEY, session.token,
                                         NAMES[0], b"late")
        except NoAnswer:
            return
        self.load.count("writes to ended sessions")
        if reply == "OK":
            self.load.complain(RISEN, f"PSET on {session.token} {where(session)} answered OK")
        elif reply.code != "NOSESSION":
            self.load.complain(HANDLED, f"PSET on the ended {session.token} answered {reply}")


class Reader(Worker):
    def step(self):
        sessions = self.load.sessions
        if not sessions:
            return
        recent = self.random.random() < 0.7
        session = self.random.choice(sessions[-200:] if recent else sessions)
        if self.random.random() < 0.05:
            return self.check_signature(session)
        self.check(session, self.random.choice(NAMES))

    def check(self, session, name):
        sure, sent = session.sure, time.time()
        try:
            answer = self.client.read(session.token, "SESSIONGATE.PGET", KEY, session.token, name)
        except NoAnswer:
            return
        self.load.count("reads")
        sentence = broken(session, name, sure, sent, time.time(), answer,
                          self.load.drift)
        if sentence:
            shown = answer if isinstance(answer, Wire.Error) else repr(answer)[:120]
            self.load.complain(sentence, f"PGET {name} of {session.token} {where(session)}, "
                                         f"of which {sure} were sure, answered {shown}")

    def check_signature(self, session):
        """Whatever happens to the cluster, another sign key does not open the session."""
        try:
            answer = self.client.read(session.token, "SESSIONGATE.PGET", KEY + b"!", session.token,
                                      NAMES[0])
        except NoAnswer:
            return
        self.load.count("reads with another sign key")
        if not isinstance(answer, Wire.Error):
            self.load.complain(FOREIGN, f"{session.token} was opened with another sign key")
        elif answer.code != "BADSIGNATURE":
            self.load.complain(HANDLED, f"another sign key was answered {answer}")


def where(session):
    """The session's history in words."""
    words = [f"{each.kind} {each.name!r:.12}" if each.name else each.kind
             for each in session.history]
    return f"(after {', '.join(words[-6:])})"
