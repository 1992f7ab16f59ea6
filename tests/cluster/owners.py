"""Load on owners in a cluster, and the checker of what it is answered.

Each owner is written by one writer, one call at a time, so what its list may be is known: a State,
the sessions that live in it, the oldest start first. Writers and readers ask for the list; an
answer is right if one of the states explains it that may have been in force: those from the last
that is sure, when the question was sent, to the last that is known when the answer came. What is
sure is told in load.py. An owner whose last change is not sure is written no more, but still read.

A wrong answer breaks one of these sentences:
"""

import time

from cluster import NoAnswer
from harness import KEY, Wire
from load import CLOCK, FOREIGN, HANDLED, OVERDUE, RISEN, Load, Worker

MISSED = "no living session is missing from its owner's list"
MIXED = "each list is of one moment, the oldest start first"
OUTLIVED = "no session outlives its owner's list"

LIFE = 1000  # changes after which an owner is written no more
MOST = 8  # sessions of an owner
SOON = 10  # seconds; a session that may be over by then is not counted on
GRACE = 30  # seconds
TTLS = (2, 30, 600, 10_000, 100_000)  # so far apart that a list's slack hides no early death

# The times of expiry of the first key and of the others, 0 for what is not there.
TIMES = """
    local times = {}
    for place, key in ipairs(KEYS) do times[place] = math.max(redis.call('PEXPIRETIME', key), 0) end
    return times"""


class Session:
    """`token` is None until its start or rotation is answered. `over`: the earliest and the latest
    moment at which it ends. `alias`: a token that leads to it, until its `grace` is over."""

    def __init__(self, token, ttl, over, alias=None, grace=0):
        self.token, self.ttl, self.over, self.alias, self.grace = token, ttl, over, alias, grace

    def may_be_gone(self, answered):
        return self.over[0] - CLOCK <= answered

    def may_be_there(self, sent, drift):
        return sent <= self.over[1] + CLOCK + drift

    def lasts(self):
        return self.over[0] > time.time() + SOON

    def name(self, dice):
        """The token, or now and then the alias."""
        lasts = self.alias and self.grace > time.time() + SOON
        return self.alias if lasts and dice.random() < 0.4 else self.token


class Owner:
    """states[sure:] are those that may be in force; `ended`: tokens that nothing lives under."""

    def __init__(self, label):
        self.label = label
        self.states = [()]
        self.sure = 0
        self.writable = True
        self.ended = []

    @property
    def state(self):
        return self.states[-1]

    def settle(self):
        self.sure = len(self.states) - 1


def is_try_again(reply):
    return isinstance(reply, Wire.Error) and reply.code == "TRYAGAIN"


def explains(state, answer, sent, answered, drift):
    """Whether the list may be the answer in that state. A token that is not known yet is any."""
    known = {session.token for session in state}
    rest = list(answer)
    for session in state:
        is_next = rest and (rest[0] == session.token or
                            (session.token is None and rest[0] not in known))
        if is_next and session.may_be_there(sent, drift):
            rest.pop(0)
        elif not session.may_be_gone(answered):
            return False
    return not rest


def broken(owner, sure, sent, answered, answer, drift=0):
    """The sentence that the answer to an OLIST breaks, or None."""
    states = list(owner.states)[sure:]
    if any(explains(state, answer, sent, answered, drift) for state in states):
        return None
    if set(answer) & set(owner.ended):
        return RISEN
    known = {session.token for state in states for session in state}
    if None not in known and set(answer) - known:
        return FOREIGN
    if any(not session.may_be_there(sent, drift) for state in states for session in state
           if session.token in answer):
        return OVERDUE
    lasting = set.intersection(*({session.token for session in state
                                  if not session.may_be_gone(answered)} for state in states))
    return MISSED if lasting - {None} - set(answer) else MIXED


class OwnersLoad(Load):
    """Load, of owners. `labels` makes the label of the nth owner of a writer.

    owners    all that were written
    """

    sentences = (MISSED, RISEN, OVERDUE, FOREIGN, MIXED, OUTLIVED, HANDLED)

    def __init__(self, ports, seed, labels=b"%b:%d".__mod__, owners=12, **options):
        self.labels, self.owners_each, self.owners = labels, owners, []
        super().__init__(ports, seed, kinds=(OwnerWriter, OwnerReader), **options)

    def verify(self, progress=lambda done: None):
        """After stop(): look at each owner, and at all that was ended, once more."""
        reader = OwnerReader(self, f"{self.seed} verify")
        try:
            for done, owner in enumerate(self.owners):
                progress(done)
                reader.check(owner)
                reader.check_lives(owner)
                for token in owner.ended[-100:]:
                    reader.check_ended(token)
            self.count("owners checked", len(self.owners))
        finally:
            reader.close()


class Asker(Worker):
    """Its client passes TRYAGAIN on, which changes nothing: then it does something else."""

    def __init__(self, load, seed):
        super().__init__(load, seed)
        self.client.passes = ("TRYAGAIN",)

    def ask(self, owner, *command):
        """The reply, or None; it names the command's key at 2."""
        try:
            reply = self.client.read(command[2], "SESSIONGATE." + command[0], *command[1:])
        except NoAnswer:
            return None
        self.load.count("reads")
        return None if is_try_again(reply) else reply

    def check(self, owner):
        sure, sent = owner.sure, time.time()
        answer = self.ask(owner, "OLIST", KEY, owner.label)
        answered = time.time()
        if answer is None:
            return
        sentence = HANDLED if isinstance(answer, Wire.Error) else \
            broken(owner, sure, sent, answered, answer, self.load.drift)
        if sentence:
            states = [[(each.token, each.over[0] - sent, each.over[1] - sent) for each in state]
                      for state in list(owner.states)[sure:]]
            self.load.complain(sentence, f"OLIST of {owner.label} answered {answer}; "
                                         f"right were {states}")

    def check_ended(self, token):
        answer = self.ask(None, "TTL", KEY, token)
        if isinstance(answer, int):
            self.load.complain(RISEN, f"TTL of {token} answered {answer}")
        elif answer is not None and answer.code != "NOSESSION":
            self.load.complain(HANDLED, f"TTL of {token} answered {answer}")

    def check_lives(self, owner):
        """No session expires after its list, but for the time that one took to move."""
        tokens = [session.token for session in owner.state if session.token]
        try:
            times = self.client.read(owner.label, "EVAL", TIMES, 1 + len(tokens), owner.label,
                                     *tokens)
        except NoAnswer:
            return
        if is_try_again(times):
            return
        if isinstance(times, Wire.Error):
            return self.load.complain(HANDLED, f"the times of {owner.label}: {times}")
        self.load.count("reads")
        life, *others = times
        if others and max(others) > life + self.load.drift * 1000:
            self.load.complain(OUTLIVED, f"the list of {owner.label} ends at {life}, "
                                         f"its sessions at {others}")


class OwnerReader(Asker):
    def step(self):
        owners = self.load.owners
        if not owners:
            return
        recent = self.random.random() < 0.8
        owner = self.random.choice(owners[-30:] if recent else owners)
        dice = self.random.random()
        if dice < 0.15:
            self.check_lives(owner)
        elif dice < 0.4 and owner.ended:
            self.check_ended(self.random.choice(owner.ended))
        else:
            self.check(owner)


class OwnerWriter(Asker):
    def __init__(self, load, seed):
        super().__init__(load, seed)
        self.seed = str(seed).encode()
        self.made = 0
        self.pool = []

    def new_owner(self):
        owner = Owner(self.load.labels((self.seed, self.made)))
        self.made += 1
        self.pool.append(owner)
        self.load.owners.append(owner)

    def step(self):
        self.pool = [owner for owner in self.pool if owner.writable and len(owner.states) < LIFE]
        while len(self.pool) < self.load.owners_each:
            self.new_owner()
        owner = self.random.choice(self.pool)
        sessions = owner.state
        dice = self.random.random()
        if dice < 0.25:
            return self.check(owner)
        if len(sessions) < 2 or (dice < 0.5 and len(sessions) < MOST):
            return self.start(owner)
        if dice < 0.58:
            return self.end_all(owner)
        if dice < 0.62 and owner.ended:
            return self.check_ended(self.random.choice(owner.ended))
        session = self.random.choice(sessions)
        if self.random.random() < 0.5:  # the one that the list has to live for
            session = max(sessions, key=lambda each: each.over[0])
        name = session.name(self.random)
        change = self.random.choice((self.touch, self.expire, self.expire, self.rotate,
                                     self.rotate, self.end))
        return change(owner, session, name)

    def change(self, owner, state, *command):
        """Carry out a change that leads to that state: the reply, or None where there is none, or
        it is NOSESSION or TRYAGAIN."""
        owner.states.append(tuple(state))
        sent = time.time()
        try:
            reply, replicas = self.client.write(command[2], "SESSIONGATE." + command[0],
                                                *command[1:])
        except NoAnswer:
            self.load.count("writes without an answer")
            owner.writable = False
            return None
        sure = replicas >= self.load.waits
        if isinstance(reply, Wire.Error):
            owner.states.pop()
            if is_try_again(reply):
                return None
            gone = [session for session in owner.state
                    if command[2] in (session.token, session.alias)]
            if reply.code != "NOSESSION" or not gone:
                self.load.complain(HANDLED, f"{command} answered {reply}")
            elif not gone[0].may_be_gone(time.time()):
                self.load.complain(MISSED, f"{command} answered {reply}")
            else:
                owner.states.append(tuple(each for each in owner.state if each is not gone[0]))
                owner.settle()
            return None
        self.load.count("writes sure" if sure else "writes acknowledged, not waited for")
        self.load.count(command[0] + " sure" * sure)
        if sure and time.time() - sent < SOON:
            owner.settle()
        else:
            owner.writable = False
        return reply

    def ended(self, owner, *sessions):
        if owner.writable:  # else they may live on
            owner.ended.extend(token for session in sessions
                               for token in (session.token, session.alias) if token)

    def renewed(self, session, ttl, **changes):
        """That session with another life; the latest end is told by answered()."""
        return Session(**{**vars(session), "ttl": ttl, "over": (time.time() + ttl, float("inf")),
                          **changes})

    def answered(self, session):
        session.over = (session.over[0], time.time() + session.ttl)

    def replaced(self, owner, session, *others):
        place = owner.state.index(session)
        return (*owner.state[:place], *others, *owner.state[place + 1:])

    def start(self, owner):
        ttl = self.random.choice(TTLS)
        new = Session(None, ttl, (time.time() + ttl, float("inf")))
        state, options, pushed = owner.state, (), ()
        if len(state) > 1 and self.random.random() < 0.3 and all(map(Session.lasts, state)):
            limit = self.random.randint(1, len(state))
            pushed, state = state[:len(state) + 1 - limit], state[len(state) + 1 - limit:]
            options = ("LIMIT", limit)
        token = self.change(owner, (*state, new), "OSTART", KEY, owner.label, ttl, *options)
        if token:
            new.token = token
            self.answered(new)
            self.ended(owner, *pushed)

    def touch(self, owner, session, name):
        new = self.renewed(session, session.ttl)
        if self.change(owner, self.replaced(owner, session, new), "TOUCH", KEY, name) is not None:
            self.answered(new)

    def expire(self, owner, session, name):
        new = self.renewed(session, self.random.choice(TTLS))
        if self.change(owner, self.replaced(owner, session, new), "EXPIRE", KEY, name, new.ttl):
            self.answered(new)

    def rotate(self, owner, session, name):
        """Without GRACE, or with it; through an alias only without, since with it that would answer
        what is there."""
        grace = self.random.random() < 0.6 and name == session.token
        new = Session(None, session.ttl, session.over, *(session.token, time.time() + GRACE) * grace)
        token = self.change(owner, self.replaced(owner, session, new), "ROTATE", KEY, name,
                            *("GRACE", GRACE) * grace)
        if token:
            new.token = token
            if not grace:
                self.ended(owner, session)

    def end(self, owner, session, name):
        if self.change(owner, self.replaced(owner, session), "END", KEY, name):
            self.ended(owner, session)

    def end_all(self, owner):
        before, kept = owner.state, ()
        if self.random.random() < 0.5:
            kept = tuple(session for session in before if session.lasts())[-1:]
        keep = [word for session in kept for word in ("KEEP", session.name(self.random))]
        sent = time.time()
        count = self.change(owner, kept, "OEND", KEY, owner.label, *keep)
        if count is None:
            return
        gone = [session for session in before if session not in kept]
        least = sum(not session.may_be_gone(time.time()) for session in gone)
        most = sum(session.may_be_there(sent, self.load.drift) for session in gone)
        if not least <= count <= most:
            self.load.complain(MISSED, f"OEND of {owner.label} ended {count} of {len(gone)}, "
                                       f"at least {least} of which lived")
        self.ended(owner, *gone)
