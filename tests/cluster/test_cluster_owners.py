"""Owners in a cluster: routed by the label, all in its slot; and a slot that is split by hand.

While a slot moves key by key, the list of an owner may be on one node, and its sessions on the
other. Each command then answers what is right, sends the client on, or answers TRYAGAIN and changes
nothing.
"""

import itertools
import string
import subprocess

import pytest

from cluster import ask, held, misplaced, slot_of
from features import OTHER_KEY, is_v2, signed_v2
from harness import KEY, Wire
from load import RedisPy
from test_cluster_slots import Move

ALPHABET = (string.ascii_letters + string.digits).encode()
LABELS = (b"owner:42", b"owner:{42}:web", b"{}owner", b"\0\xff\r\n", b"o" * 200)


def ostart(node, label, *options, ttl=600):
    return ask(node, "SESSIONGATE.OSTART", KEY, label, ttl, *options)


def olist(node, label):
    return ask(node, "SESSIONGATE.OLIST", KEY, label)


def codes(answers):
    return [each.code if isinstance(each, Wire.Error) else each for each in answers]


def label_of(cluster, master):
    """A label whose slot that master serves."""
    return next(label for number in itertools.count()
                if cluster.owner(label := b"owner:%d" % number) is master)


# Routing -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("label", LABELS)
def test_the_sessions_of_an_owner_are_in_the_slot_of_its_label(cluster, label):
    master = cluster.owner(label)
    tokens = [ostart(master, label) for _ in range(20)]
    assert all(is_v2(token) and slot_of(token) == slot_of(label) for token in tokens)
    assert len(set(tokens)) == 20
    new = ask(master, "SESSIONGATE.ROTATE", KEY, tokens[0], "NEWKEY", KEY, "GRACE", 100)
    assert slot_of(new) == slot_of(label)
    assert olist(master, label) == [new, *tokens[1:]]
    assert [misplaced(node) for node in cluster.nodes] == [[]] * len(cluster.nodes)
    cluster.wait_whole()
    assert cluster.unequal() == []
    assert ask(master, "SESSIONGATE.OEND", KEY, label) == 20
    assert list(held(master)) == [tokens[0]]  # which leads nowhere until its grace is over
    assert ask(master, "SESSIONGATE.TTL", KEY, tokens[0]).code == "NOSESSION"


def test_labels_with_the_same_hash_tag_share_a_slot(cluster):
    one, other = b"{42}:web", b"{42}:app"
    master = cluster.owner(b"42")
    tokens = [ostart(master, label) for label in (one, other)]
    assert {slot_of(token) for token in tokens} == {slot_of(b"42")}
    assert [olist(master, label) for label in (one, other)] == [[token] for token in tokens]


def test_another_master_answers_moved_for_the_label_and_changes_nothing(cluster):
    owner, *others = cluster.masters()
    label = label_of(cluster, owner)
    token = ostart(owner, label)
    before = held(owner)
    moved = f"MOVED {slot_of(label)} 127.0.0.1:{owner.port}"
    for other in others:
        for call in (("OSTART", KEY, label, 600), ("OSTART", KEY, label, 0),
                     ("OSTART", KEY, label, 600, "LIMIT", 1), ("OLIST", KEY, label),
                     ("OEND", KEY, label), ("OEND", KEY, label, "KEEP", token)):
            assert ask(other, "SESSIONGATE." + call[0], *call[1:]) == moved
        assert held(other) == {}
    assert held(owner) == before


def test_the_key_of_the_commands_is_the_label(cluster):
    for call in (("OSTART", KEY, b"label", 600), ("OLIST", KEY, b"label"), ("OEND", KEY, b"label"),
                 ("OEND", KEY, b"label", "KEEP", signed_v2())):
        assert ask(cluster.nodes[0], "COMMAND", "GETKEYS", "SESSIONGATE." + call[0],
                   *call[1:]) == [b"label"]


def test_redis_py_routes_by_the_label(cluster):
    client = RedisPy(cluster.ports(), seed=1)
    for label in (*LABELS, *(label_of(cluster, master) for master in cluster.masters())):
        tokens = [client.read(label, "SESSIONGATE.OSTART", KEY, label, 600) for _ in range(3)]
        assert client.client.determine_slot("SESSIONGATE.OLIST", KEY, label) == slot_of(label)
        assert client.read(label, "SESSIONGATE.OLIST", KEY, label) == tokens
        assert client.read(label, "SESSIONGATE.OEND", KEY, label, "KEEP", tokens[1]) == 2
        assert client.read(label, "SESSIONGATE.OLIST", KEY, label) == [tokens[1]]
    client.close()


def test_redis_cli_routes_by_the_label_from_any_node(cluster):
    for node in cluster.nodes:
        def cli(*arguments):
            return subprocess.run([node.program / "cli", "-c", "-p", str(node.port), *arguments],
                                  check=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE).stdout.rstrip(b"\n")
        for label in ("owner:1", "owner:2", "{owner}:3"):
            token = cli("SESSIONGATE.OSTART", KEY, label, "60")
            assert cli("SESSIONGATE.OLIST", KEY, label) == token
            assert cli("SESSIONGATE.OEND", KEY, label) == b"1"


def test_an_owner_of_a_transaction_is_kept_whole(cluster):
    """Servers since Redis 7.4 and Valkey 8.0 keep the slot of a transaction in mind."""
    master = cluster.masters()[0]
    label = label_of(cluster, master)
    with master.wire() as wire:
        assert wire.call("MULTI") == "OK"
        for call in (("SET", b"{%b}:other" % label, 1),
                     ("SESSIONGATE.OSTART", KEY, label, 600, "PAYLOADS", 1, b"n", b"d"),
                     ("SESSIONGATE.OSTART", KEY, label, 600),
                     ("SESSIONGATE.OSTART", KEY, label, 600, "LIMIT", 2),
                     ("SESSIONGATE.OLIST", KEY, label)):
            assert wire.call(*call) == "QUEUED"
        _, first, second, third, listed = wire.call("EXEC")
        assert listed == [second, third] == wire.call("SESSIONGATE.OLIST", KEY, label)
        assert wire.call("SESSIONGATE.TTL", KEY, first).code == "NOSESSION"
    assert misplaced(master) == []
    assert len(held(master)) == 4
    cluster.wait_whole()
    assert held(cluster.replica(master)) == held(master)


def test_a_script_starts_lists_and_ends_sessions_of_an_owner(cluster):
    master = cluster.masters()[1]
    label = label_of(cluster, master)
    script = """
        local started = {}
        for n = 1, 3 do
            started[n] = redis.call('SESSIONGATE.OSTART', ARGV[1], KEYS[1], 600)
        end
        local ended = redis.call('SESSIONGATE.OEND', ARGV[1], KEYS[1], 'KEEP', started[2])
        return {started[2], ended, redis.call('SESSIONGATE.OLIST', ARGV[1], KEYS[1])}"""
    kept, ended, listed = ask(master, "EVAL", script, 1, label, KEY)
    assert (ended, listed) == (2, [kept]) and slot_of(kept) == slot_of(label)
    assert misplaced(master) == []
    cluster.wait_whole()
    assert held(cluster.replica(master)) == held(master)


def test_a_replica_lists_after_readonly_only(cluster):
    master = cluster.masters()[0]
    label = label_of(cluster, master)
    tokens = [ostart(master, label) for _ in range(3)]
    moved = f"MOVED {slot_of(label)} 127.0.0.1:{master.port}"
    cluster.wait_whole()
    with cluster.replica(master).wire() as wire:
        assert wire.call("SESSIONGATE.OLIST", KEY, label) == moved
        assert wire.call("READONLY") == "OK"
        assert wire.call("SESSIONGATE.OLIST", KEY, label) == tokens
        assert wire.call("SESSIONGATE.OLIST", OTHER_KEY, label) == []
        assert wire.call("SESSIONGATE.OEND", KEY, label) == moved
        assert wire.call("SESSIONGATE.OSTART", KEY, label, 600) == moved


def test_a_session_to_keep_that_is_of_another_slot_is_not_looked_for(cluster):
    master = cluster.masters()[0]
    label = label_of(cluster, master)
    token = ostart(master, label)
    foreign = ask(master, "SESSIONGATE.START", KEY, 600, "FORMAT", "v2")
    elsewhere = ostart(cluster.masters()[1], label_of(cluster, cluster.masters()[1]))
    for kept in (foreign, elsewhere):
        assert ask(master, "SESSIONGATE.OEND", KEY, label, "KEEP", kept).code == "NOSESSION"
    assert olist(master, label) == [token]


# A slot that is split by hand --------------------------------------------------------------------

class Owner:
    """An owner of two sessions, the older one with a rotated token in its grace."""

    def __init__(self, node, label):
        self.label = label
        self.alias = ostart(node, label, "PAYLOADS", 1, b"n", b"d")
        self.younger = ostart(node, label)
        self.older = ask(node, "SESSIONGATE.ROTATE", KEY, self.alias, "GRACE", 300)

    def keys(self, list=True, older=True, younger=True):
        """The keys of those parts. The alias goes with what it leads to."""
        return [*[self.label] * list, *[self.alias, self.older] * older, *[self.younger] * younger]


class Split(Move):
    """Owners of one slot, and the steps in which the slot moves."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.source, self.target = cluster.masters()[:2]
        self.one = label_of(cluster, self.source)
        self.slot = slot_of(self.one)
        self.names = (b"{%b}:%d" % (self.one, number) for number in itertools.count())
        self.ask_target = f"ASK {self.slot} 127.0.0.1:{self.target.port}"
        self.moved_to_source = f"MOVED {self.slot} 127.0.0.1:{self.source.port}"

    def owner(self):
        return Owner(self.source, next(self.names))

    def begin(self):
        self.importing()
        self.migrating()

    def move_rest(self):
        """Move all that is at the source still, and end the move."""
        while keys := ask(self.source, "CLUSTER", "GETKEYSINSLOT", self.slot, 1000):
            self.migrate(*keys)
        self.finish()

    def held(self):
        return held(self.source), held(self.target)


@pytest.fixture
def split(cluster):
    split = Split(cluster)
    yield split
    split.undo()


def plain(call):
    return [call]


def script(call):
    """As a script that declares the command's key, its second argument."""
    return [("EVAL", "return redis.call(ARGV[1], ARGV[2], KEYS[1], unpack(ARGV, 3))", 1, call[2],
             *call[:2], *call[3:])]


def transaction(call):
    return [("MULTI",), call, ("EXEC",)]


def send(node, calls, asking=False):
    """The answer to the command among the calls."""
    with node.wire() as wire:
        if asking:
            assert wire.call("ASKING") == "OK"
        *_, answer = answers = [wire.call(*call) for call in calls]
        if len(calls) == 1:
            return answer
        if answers[1] != "QUEUED":  # refused at once; newer servers do so at EXEC
            return answers[1]
        return answer if isinstance(answer, Wire.Error) else answer[0]


# Each command: its name; its key; what else it takes; which keys have to be where its own is;
# whether it makes a key; the answer, unless that is a token; and which sessions live on then.
LABEL, OLDER, YOUNGER = "label", "older", "younger"
ALL_OF_IT = {LABEL, OLDER, YOUNGER}
COMMANDS = {
    "OSTART": (LABEL, (600,), set(), True, None, (OLDER, YOUNGER, "new")),
    "OSTART LIMIT": (LABEL, (600, "LIMIT", 2), ALL_OF_IT, True, None, (YOUNGER, "new")),
    "OLIST": (LABEL, (), ALL_OF_IT, False, (OLDER, YOUNGER), (OLDER, YOUNGER)),
    "OEND": (LABEL, (), ALL_OF_IT, False, 2, ()),
    "OEND KEEP": (LABEL, ("KEEP", OLDER), ALL_OF_IT, False, 1, (OLDER,)),
    "OEND KEEP alias": (LABEL, ("KEEP", "alias"), ALL_OF_IT, False, 1, (OLDER,)),
    "EXPIRE": (OLDER, (900,), {LABEL}, False, "OK", (OLDER, YOUNGER)),
    "EXPIRE alias": ("alias", (900,), {LABEL}, False, "OK", (OLDER, YOUNGER)),
    "EXPIRE 0": (OLDER, (0,), set(), False, "OK", (YOUNGER,)),
    "TOUCH": (OLDER, (), {LABEL}, False, 600, (OLDER, YOUNGER)),
    "TOUCH not due": (OLDER, ("MINAGE", 300), set(), False, 600, (OLDER, YOUNGER)),
    "ROTATE": (OLDER, (), {LABEL}, True, None, ("new", YOUNGER)),
    "ROTATE GRACE": (OLDER, ("GRACE", 300), {LABEL}, True, None, ("new", YOUNGER)),
    "ROTATE NEWKEY": (OLDER, ("NEWKEY", KEY), {LABEL}, True, None, ("new", YOUNGER)),
    "END": (OLDER, (), set(), False, "OK", (YOUNGER,)),
    "END alias": ("alias", (), set(), False, "OK", (YOUNGER,)),
    "PGET": (OLDER, (b"n",), set(), False, b"d", (OLDER, YOUNGER)),
}
PLACES = [dict(zip((LABEL, OLDER, YOUNGER), places))
          for places in itertools.product(("source", "target"), repeat=3)]


def named(places):
    return "-".join(f"{part}_at_{place}" for part, place in places.items())


@pytest.mark.parametrize("way", [plain, script, transaction])
@pytest.mark.parametrize("places", PLACES, ids=named)
def test_each_command_is_right_or_answered_tryagain_however_the_slot_is_split(split, places, way):
    owners = {command: split.owner() for command in COMMANDS}
    split.begin()
    moved = [key for owner in owners.values()
             for key in owner.keys(*(place == "target" for place in places.values()))]
    if moved:
        split.migrate(*moved)
    lasting, before = {}, split.held()
    for name, (key, rest, needs, makes, expected, living) in COMMANDS.items():
        owner = owners[name]
        command = ("SESSIONGATE." + name.split(" ")[0], KEY, getattr(owner, key),
                   *(getattr(owner, each) if each in (OLDER, "alias") else each for each in rest))
        place = places[OLDER if key == "alias" else key]
        is_together = all(places[part] == place for part in needs)
        good = is_together and not (makes and place == "source")
        assert send(split.target, way(command)) == split.moved_to_source
        if place == "target":
            assert send(split.source, way(command)) == split.ask_target
        node, asking = ((split.source, False) if place == "source" else (split.target, True))
        answer = send(node, way(command), asking)
        if not good:
            assert codes([answer]) == ["TRYAGAIN"], name
            living = (OLDER, YOUNGER)
        elif expected is None:
            assert is_v2(answer) and slot_of(answer) == split.slot
            owner.new = answer
        elif name == "OLIST":
            assert answer == [owner.older, owner.younger]
        elif name.startswith("TOUCH"):
            assert 500 < answer <= expected
        else:
            assert answer == expected, name
        lasting[owner] = [getattr(owner, each) for each in living]
        now = split.held()
        if not good:
            assert now == before
        before = now
    split.move_rest()
    for owner, living in lasting.items():
        assert olist(split.target, owner.label) == living
        assert misplaced(split.target) == []
        assert ask(split.target, "SESSIONGATE.OEND", KEY, owner.label) == len(living)
        for token in owner.keys()[1:]:
            assert ask(split.target, "SESSIONGATE.TTL", KEY, token).code == "NOSESSION"


@pytest.mark.parametrize("there", ["alias", "older"])
def test_an_alias_to_keep_that_is_apart_from_its_session_is_answered_tryagain(split, there):
    owner = split.owner()
    split.begin()
    split.migrate(getattr(owner, there))
    before = split.held()
    keep = ("SESSIONGATE.OEND", KEY, owner.label, "KEEP", owner.alias)
    assert ask(split.source, *keep).code == "TRYAGAIN"
    assert split.held() == before
    split.migrate(owner.label, owner.younger)
    before = split.held()
    assert ask(split.source, *keep) == split.ask_target
    assert send(split.target, [keep], asking=True).code == "TRYAGAIN"
    assert split.held() == before
    split.move_rest()
    assert ask(split.target, *keep) == 1
    assert olist(split.target, owner.label) == [owner.older]


def test_a_session_to_keep_that_never_was_is_nosession_when_nothing_moves(split):
    owner = split.owner()
    never = next(token for pad in itertools.product(ALPHABET, repeat=3)
                 if slot_of(token := signed_v2(pad=bytes(pad))) == split.slot)
    keep = ("SESSIONGATE.OEND", KEY, owner.label, "KEEP", never)
    assert ask(split.source, *keep).code == "NOSESSION"
    split.begin()
    assert ask(split.source, *keep).code == "TRYAGAIN"
    assert olist(split.source, owner.label) == [owner.older, owner.younger]


def test_a_list_whose_other_sessions_are_elsewhere_keeps_its_life(split):
    """It may be the other node's session that the list has to live for."""
    owners = {change: split.owner() for change in ("END", "EXPIRE", "EXPIRE 0", "ROTATE")}
    for owner in owners.values():
        # The list lives for the first session, which ends or is cut short; the third is elsewhere.
        for token, ttl in ((owner.older, 10_000), (owner.younger, 10)):
            assert ask(split.source, "SESSIONGATE.EXPIRE", KEY, token, ttl) == "OK"
        owner.other = ostart(split.source, owner.label, ttl=5_000)
    split.begin()
    for owner in owners.values():
        split.migrate(*owner.keys())
    before = {owner: ask(split.source, "PEXPIRETIME", owner.other) for owner in owners.values()}
    for change, owner in owners.items():
        rest = {"EXPIRE": (5,), "EXPIRE 0": (0,), "ROTATE": ("TTL", 5)}.get(change, ())
        answer = send(split.target, [("SESSIONGATE." + change.split(" ")[0], KEY, owner.older,
                                      *rest)], asking=True)
        assert not isinstance(answer, Wire.Error)
    split.move_rest()
    for owner in owners.values():
        assert ask(split.target, "PEXPIRETIME", owner.label) >= before[owner]
        assert owner.other in olist(split.target, owner.label)


def test_a_list_without_a_ttl_gets_one_when_its_sessions_are_together_again(split):
    owner = split.owner()
    long = ostart(split.source, owner.label, ttl=5_000)
    assert ask(split.source, "PERSIST", owner.label) == 1
    split.begin()
    split.migrate(*owner.keys())
    before = split.held()
    start = ("SESSIONGATE.OSTART", KEY, owner.label, 10)
    assert send(split.target, [start], asking=True).code == "TRYAGAIN"
    assert split.held() == before
    assert 590 < send(split.target, [("SESSIONGATE.TOUCH", KEY, owner.older)], asking=True) <= 600
    assert send(split.target, [("PEXPIRETIME", owner.label)], asking=True) == -1
    split.move_rest()
    assert is_v2(ask(split.target, *start))
    life, over = [ask(split.target, "PEXPIRETIME", key) for key in (owner.label, long)]
    assert over <= life <= over + 5_000_000


def read_by_replica(cluster, master, *command):
    with cluster.replica(master).wire() as wire:
        assert wire.call("READONLY") == "OK"
        return wire.call(*command)


def test_a_replica_of_the_source_lists_no_half_where_it_can_know(split):
    """Valkey tells its replicas which slots move; Redis does not, and there they answer from what
    they have."""
    listed, whole = split.owner(), split.owner()
    split.begin()
    split.migrate(listed.older, listed.alias)
    split.migrate(*whole.keys(list=False))
    split.cluster.wait_whole()
    answers = [read_by_replica(split.cluster, split.source, "SESSIONGATE.OLIST", KEY, owner.label)
               for owner in (listed, whole)]
    if split.source.valkey:
        assert codes(answers) == ["TRYAGAIN", "TRYAGAIN"]
    else:
        assert answers == [[listed.younger], []]
    split.move_rest()
    split.cluster.wait_whole()
    assert read_by_replica(split.cluster, split.target, "SESSIONGATE.OLIST", KEY,
                           listed.label) == [listed.older, listed.younger]


def test_a_promoted_replica_of_the_source_ends_no_half_where_it_can_know(split):
    """Valkey's knows that the slot moves; Redis' does not, and ends what it has. What it does not
    have lives on, and is listed again after its next TOUCH."""
    owner = split.owner()
    split.begin()
    split.migrate(owner.older, owner.alias)
    split.cluster.wait_whole()
    promoted = split.cluster.replica(split.source)
    split.cluster.fail_over(promoted)
    split.source = promoted
    before = split.held()
    answer = ask(promoted, "SESSIONGATE.OEND", KEY, owner.label)
    if promoted.valkey:
        assert answer.code == "TRYAGAIN" and split.held() == before
        split.cluster.wait_whole()
    else:
        assert answer == 1
        assert ask(promoted, "EXISTS", owner.label, owner.younger) == 0
        split.set(split.target, "STABLE")
        split.cluster.wait_whole()
        split.begin()
    split.move_rest()
    assert olist(split.target, owner.label) == ([owner.older, owner.younger] if promoted.valkey
                                                else [])
    assert 590 < ask(split.target, "SESSIONGATE.TOUCH", KEY, owner.older) <= 600
    assert owner.older in olist(split.target, owner.label)
