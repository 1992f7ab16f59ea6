"""ROTATE: a session gets a new token, and its old token may live on for a while as an alias."""

import pytest
from redis.crc import key_slot

from features import ALL, OTHER_KEY, Observers, info, is_v2, payloads, sg
from harness import (KEY, LARGEST_TTL, Stream, end, error_code, expire, is_token, pdel, pget, pset,
                     signed, start, wait_for)

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}
NEW_KEY = b"the sign key of next year"


def expiry(r, token):
    return r.execute_command("PEXPIRETIME", token)


@pytest.fixture
def token(r):
    """A session of 1000 s, at most 5000 s, with payload n."""
    return sg(r, "START", 1000, "MAXTTL", 5000, "PAYLOADS", 1, b"n", b"d")


@pytest.fixture
def rotated(r, token):
    """An alias, and the token that took its place."""
    return token, sg(r, "ROTATE", token, "GRACE", 300)


# A new token -------------------------------------------------------------------------------------

@pytest.mark.parametrize("form, has_form", [("v1", is_token), ("v2", is_v2)])
def test_a_rotated_session_has_a_new_token_of_the_old_ones_form(r, form, has_form):
    tokens = [sg(r, "START", 60, "FORMAT", form)]
    r.config_set("sessiongate.token-format", "v2" if form == "v1" else "v1")
    for grace in (0, 5, 0):
        tokens.append(sg(r, "ROTATE", tokens[-1], "GRACE", grace))
    assert len(set(tokens)) == 4
    assert all(has_form(token) for token in tokens)


def test_everything_but_the_token_is_kept(server, r, token):
    pset(r, token, b"large", b"x" * 65_536)
    [before] = server.sessions().values()
    about = info(r, token)
    new = sg(r, "ROTATE", token)
    assert server.sessions() == {new: before}
    assert payloads(r, new) == {b"n": b"d", b"large": b"x" * 65_536}
    assert {**info(r, new), "ttl": 0} == {**about, "ttl": 0}
    assert about["deadline"] == about["created"] + 5_000_000
    assert pset(r, new, b"n", b"changed") == b"OK"
    assert end(r, new) == b"OK"
    assert r.dbsize() == 0


def test_an_empty_session_and_one_without_expiry_can_be_rotated(r):
    token = start(r)
    r.persist(token)
    new = sg(r, "ROTATE", token, "GRACE", 5)
    assert r.ttl(new) == -1 and 0 < r.ttl(token) <= 5
    assert payloads(r, new) == {}


@pytest.mark.parametrize("grace", [(), ("GRACE", 0)])
@pytest.mark.parametrize("command", ALL)
def test_without_grace_the_old_token_is_dead_at_once(r, token, command, grace):
    new = sg(r, "ROTATE", token, *grace)
    assert error_code(sg, r, command, token, *ALL[command]) == "NOSESSION"
    assert r.keys() == [new]
    assert payloads(r, new) == {b"n": b"d"}


def test_ttl_and_maxttl_are_set_anew_where_given(r, token):
    about = info(r, token)
    token = sg(r, "ROTATE", token, "TTL", 2000)
    assert 1_995_000 < r.pttl(token) <= 2_000_000
    assert info(r, token)["idle"] == 2_000_000
    assert info(r, token)["deadline"] == about["deadline"]
    token = sg(r, "ROTATE", token, "TTL", 10_000)
    assert expiry(r, token) == about["deadline"]
    token = sg(r, "ROTATE", token, "MAXTTL", 20_000)
    assert info(r, token)["created"] == about["created"]
    assert 19_995_000 < info(r, token)["deadline"] - about["created"] < 20_005_000
    assert expiry(r, token) == about["deadline"], "MAXTTL alone refreshes nothing"
    assert sg(r, "TOUCH", token) == 10_000
    token = sg(r, "ROTATE", token, "MAXTTL", 100)
    assert expiry(r, token) == info(r, token)["deadline"]
    assert 95_000 < r.pttl(token) <= 100_000
    assert info(r, token)["idle"] == 10_000_000
    token = sg(r, "ROTATE", token, "maxttl", LARGEST_TTL, "ttl", LARGEST_TTL, "grace", 300)
    assert expiry(r, token) == info(r, token)["deadline"]
    assert LARGEST_TTL - 5 < sg(r, "TTL", token) <= LARGEST_TTL


def test_a_session_without_a_deadline_gets_one_by_maxttl(r):
    token = sg(r, "ROTATE", start(r, KEY, 1000), "MAXTTL", 50)
    assert expiry(r, token) == info(r, token)["deadline"]
    assert expire(r, token, 1000) == b"OK"
    assert sg(r, "TTL", token) <= 50


def test_a_refused_rotation_changes_nothing(server, r, token):
    before = server.sessions()
    with Stream(server) as stream:
        for rest in (("GRACE", 301), ("GRACE", -1), ("TTL", 0), ("MAXTTL", 0), ("NEWKEY", b""),
                     ("TTL", 5, "GRACE"), ("GRACE", 5, "NEWKEY", b"k", "MAXTTL", LARGEST_TTL + 1)):
            assert error_code(sg, r, "ROTATE", token, *rest) == "ERR"
        assert error_code(sg, r, "ROTATE", token, sign_key=OTHER_KEY) == "BADSIGNATURE"
        assert stream.commands() == []
    assert server.sessions() == before


def test_who_watches_the_old_token_hears_of_a_rotation(server, r, token):
    with Observers(server, token) as observers:
        sg(r, "ROTATE", token, "GRACE", 5)
        assert observers.noticed() == Observers.EVERYBODY


# The alias ---------------------------------------------------------------------------------------

def test_reads_through_an_alias_read_the_successor(r, rotated):
    old, new = rotated
    pset(r, new, b"later", b"d")
    for command, rest in (("PGET", (b"n",)), ("PMGET", (b"n", b"x", b"later"))):
        assert sg(r, command, old, *rest) == sg(r, command, new, *rest)
    assert payloads(r, old) == payloads(r, new) == {b"n": b"d", b"later": b"d"}
    assert {**info(r, old), "ttl": 0} == {**info(r, new), "ttl": 0}
    assert sg(r, "TTL", old) > 900, "the life of the session, and not of the alias"
    assert error_code(pget, r, old, b"absent") == "NOPAYLOAD"


def test_writes_through_an_alias_change_the_successor(r, rotated):
    old, new = rotated
    assert pset(r, old, b"a", b"1") == b"OK"
    assert sg(r, "PSET", old, b"a", b"2", b"NX") is None
    assert sg(r, "PMSET", old, b"b", b"2", b"c", b"3") == b"OK"
    assert payloads(r, new) == {b"n": b"d", b"a": b"1", b"b": b"2", b"c": b"3"}
    assert sg(r, "PPOP", old, b"a") == b"1"
    assert pdel(r, old, b"b") == b"OK"
    assert payloads(r, new) == {b"n": b"d", b"c": b"3"}
    alias_expiry = expiry(r, old)
    assert expire(r, old, 2000) == b"OK"
    assert 1_995_000 < r.pttl(new) <= 2_000_000
    r.pexpire(new, 100_000)
    assert sg(r, "TOUCH", old, "MINAGE", 60) == 2000
    assert 1_995_000 < r.pttl(new) <= 2_000_000
    assert expire(r, old, LARGEST_TTL) == b"OK"
    assert expiry(r, new) == info(r, new)["deadline"]
    assert expiry(r, old) == alias_expiry, "an alias is not refreshed"


def test_limits_hold_through_an_alias(r, rotated):
    old, new = rotated
    r.config_set("sessiongate.max-payloads", 1)
    assert error_code(pset, r, old, b"m", b"d") == "ERR"
    assert error_code(sg, r, "PMSET", old, b"n", b"1", b"m", b"2") == "ERR"
    assert pset(r, old, b"n", b"changed") == b"OK"
    assert payloads(r, new) == {b"n": b"changed"}


@pytest.mark.parametrize("over", [end, lambda r, token: expire(r, token, 0)],
                         ids=["END", "EXPIRE 0"])
@pytest.mark.parametrize("through", ["alias", "successor"])
def test_the_end_through_either_token_ends_both(r, rotated, over, through):
    old, new = rotated
    assert over(r, old if through == "alias" else new) == b"OK"
    assert r.exists(new) == 0
    for token in rotated:
        for command, rest in ALL.items():
            assert error_code(sg, r, command, token, *rest) == "NOSESSION", command
    if through == "alias":
        assert r.dbsize() == 0
    assert error_code(over, r, old) == error_code(over, r, new) == "NOSESSION"


GONE = {
    "expired": lambda r, new: r.pexpire(new, 1), "deleted": lambda r, new: r.delete(new),
    "renamed": lambda r, new: r.rename(new, signed(KEY, b"SomewhereElse000")),
    "rotated without grace": lambda r, new: sg(r, "ROTATE", new)}


@pytest.mark.parametrize("gone", GONE)
def test_an_alias_answers_nosession_when_its_successor_is_gone(r, rotated, gone):
    old, new = rotated
    GONE[gone](r, new)
    wait_for(lambda: r.exists(new) == 0, 5, "the successor is gone")
    for command, rest in ALL.items():
        assert error_code(sg, r, command, old, *rest) == "NOSESSION", command


def test_an_alias_of_a_key_of_another_type_is_wrongtype(r, rotated):
    old, new = rotated
    r.set(new, "x")
    for command, rest in ALL.items():
        assert error_code(sg, r, command, old, *rest) == "WRONGTYPE", command
    assert r.get(new) == b"x"


@pytest.mark.parametrize("grace", [1, 5, 300])
def test_an_alias_lives_as_long_as_its_grace(r, token, grace):
    sg(r, "ROTATE", token, "GRACE", grace)
    assert (grace - 1) * 1000 < r.pttl(token) <= grace * 1000


def test_an_alias_is_gone_after_its_grace(r, token):
    new = sg(r, "ROTATE", token, "GRACE", 1)
    wait_for(lambda: error_code(sg, r, "TTL", token) == "NOSESSION", 5, "the grace is over")
    assert payloads(r, new) == {b"n": b"d"}
    wait_for(lambda: r.dbsize() == 1, 5, "the alias is deleted")


def test_an_alias_takes_little_memory(r, token):
    pset(r, token, b"large", b"x" * 65_536)
    sg(r, "ROTATE", token, "GRACE", 300)
    assert r.type(token) == b"sgrotated"
    assert list(r.scan_iter(_type="sgrotated", count=1000)) == [token]
    assert 100 < r.memory_usage(token) < 400


def test_a_rotation_with_grace_through_an_alias_answers_the_same_successor(server, r, rotated):
    old, new = rotated
    before = server.sessions()
    with Stream(server) as stream:
        for rest in ((), ("TTL", 5), ("NEWKEY", NEW_KEY), ("MAXTTL", 5)):
            assert sg(r, "ROTATE", old, "GRACE", 300, *rest) == new
        assert error_code(sg, r, "ROTATE", old, "GRACE", 301) == "ERR"
        assert error_code(sg, r, "ROTATE", old, sign_key=OTHER_KEY) == "BADSIGNATURE"
        assert stream.commands() == []
    assert server.sessions() == before


def test_a_v2_token_stays_in_its_slot(r):
    """So that a rotated token still leads somewhere when the data move into a cluster."""
    for _ in range(20):
        old = sg(r, "START", 1000, "FORMAT", "v2")
        new = sg(r, "ROTATE", old, "GRACE", 300)
        assert key_slot(sg(r, "ROTATE", new)) == key_slot(new) == key_slot(old)


@pytest.mark.parametrize("grace", [(), ("GRACE", 0)])
@pytest.mark.parametrize("form", ["v1", "v2"])
def test_a_rotation_without_grace_through_an_alias_leaves_its_token_to_the_caller_alone(
        server, r, form, grace):
    """A login, on a token that an attacker planted, rotated, and holds the successor of."""
    planted = sg(r, "START", 1000, "FORMAT", form, "PAYLOADS", 1, b"n", b"d")
    way = chain(r, planted, 3)
    mine = sg(r, "ROTATE", planted, *grace, "MAXTTL", 77, "NEWKEY", NEW_KEY)
    assert (is_token if form == "v1" else is_v2)(mine, NEW_KEY) and mine not in way
    for token in way:
        for command, rest in ALL.items():
            assert error_code(sg, r, command, token, *rest) == "NOSESSION", command
    assert payloads(r, mine, NEW_KEY) == {b"n": b"d"}
    assert 70_000 < r.pttl(mine) <= 77_000
    assert r.keys() == [mine]


def test_a_rotation_without_grace_ends_no_alias_that_it_did_not_come_through(r, token):
    way = chain(r, token, 2)
    mine = sg(r, "ROTATE", way[1])
    assert set(r.keys()) == {way[0], mine}
    assert error_code(pget, r, way[0], b"n") == "NOSESSION"


# Chains ------------------------------------------------------------------------------------------

def chain(r, token, length, grace=300):
    tokens = [token]
    for _ in range(length):
        tokens.append(sg(r, "ROTATE", tokens[-1], "GRACE", grace))
    assert len(set(tokens)) == length + 1
    return tokens


@pytest.mark.parametrize("length", [2, 8])
def test_every_token_of_a_chain_of_rotations_opens_the_session(r, token, length):
    tokens = chain(r, token, length)
    for each in tokens:
        assert pset(r, each, b"last", each) == b"OK"
        assert pget(r, tokens[-1], b"last") == each
    for each in tokens[:-1]:
        assert sg(r, "ROTATE", each, "GRACE", 5) == tokens[-1]
    assert expire(r, tokens[0], 77) == b"OK"
    assert 72_000 < r.pttl(tokens[-1]) <= 77_000


@pytest.mark.parametrize("through", [0, 1, -1])
def test_the_end_through_any_token_of_a_chain_ends_all(r, token, through):
    tokens = chain(r, token, 4)
    assert end(r, tokens[through]) == b"OK"
    for each in tokens:
        assert error_code(pget, r, each, b"n") == "NOSESSION"
        assert error_code(sg, r, "ROTATE", each) == "NOSESSION"
    assert r.dbsize() == {0: 0, 1: 1, -1: 4}[through]


def test_a_token_that_was_rotated_more_often_than_aliases_are_followed_is_dead(r, token):
    tokens = chain(r, token, 9)
    for command, rest in ALL.items():
        assert error_code(sg, r, command, tokens[0], *rest) == "NOSESSION", command
    assert error_code(sg, r, "ADOPT", tokens[0], 60) == "BUSYTOKEN"
    assert payloads(r, tokens[1]) == {b"n": b"d"}


def test_a_circle_of_aliases_is_no_session(server, r, rotated):
    old, new = rotated
    r.rename(old, new)  # an alias of itself
    for command, rest in ALL.items():
        assert error_code(sg, r, command, new, *rest) == "NOSESSION", command
    assert server.alive()


# NEWKEY ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["v1", "v2"])
def test_newkey_moves_a_session_to_a_new_sign_key(r, form):
    old = sg(r, "START", 1000, "FORMAT", form, "PAYLOADS", 1, b"n", b"d")
    new = sg(r, "ROTATE", old, "NEWKEY", NEW_KEY, "GRACE", 100)
    assert (is_token if form == "v1" else is_v2)(new, NEW_KEY)
    assert payloads(r, old, KEY) == payloads(r, new, NEW_KEY) == {b"n": b"d"}
    for token, sign_key in ((new, KEY), (old, NEW_KEY), (new, OTHER_KEY), (old, OTHER_KEY)):
        for command, rest in ALL.items():
            assert error_code(sg, r, command, token, *rest, sign_key=sign_key) == "BADSIGNATURE"
    assert pset(r, old, b"n", b"by the old key", KEY) == b"OK"
    assert pget(r, new, b"n", NEW_KEY) == b"by the old key"
    assert sg(r, "ROTATE", old, "NEWKEY", OTHER_KEY, "GRACE", 5) == new
    assert end(r, new, NEW_KEY) == b"OK"
    assert error_code(pget, r, old, b"n", KEY) == "NOSESSION"
    assert error_code(pget, r, new, b"n", NEW_KEY) == "NOSESSION"


def test_newkey_without_grace_leaves_the_old_key_nothing(r, token):
    new = sg(r, "ROTATE", token, "NEWKEY", NEW_KEY)
    assert error_code(pget, r, token, b"n", KEY) == "NOSESSION"
    assert error_code(pget, r, token, b"n", NEW_KEY) == "BADSIGNATURE"
    assert error_code(pget, r, new, b"n", KEY) == "BADSIGNATURE"
    assert pget(r, new, b"n", NEW_KEY) == b"d"


def test_an_alias_keeps_its_own_sign_key_through_a_chain(r, token):
    keys = [KEY, NEW_KEY, OTHER_KEY, b"\0" * 100]
    tokens = [token]
    for old, new in zip(keys, keys[1:]):
        tokens.append(sg(r, "ROTATE", tokens[-1], "NEWKEY", new, "GRACE", 100, sign_key=old))
    for each, its in zip(tokens, keys):
        assert pget(r, each, b"n", its) == b"d"
        for other in set(keys) - {its}:
            assert error_code(pget, r, each, b"n", other) == "BADSIGNATURE"
    assert sg(r, "ROTATE", tokens[0], "GRACE", 5) == tokens[-1]


def test_the_new_key_may_be_any_bytes_and_the_old_one_too(r, token):
    for sign_key in (b"k", b"\0", b"GRACE", b"x" * 65_536):
        new = sg(r, "ROTATE", token, "GRACE", 5, "NEWKEY", sign_key)
        assert is_token(new, sign_key)
        token = sg(r, "ROTATE", new, "NEWKEY", KEY, sign_key=sign_key)
        assert is_token(token) and pget(r, token, b"n") == b"d"


# An alias as a key -------------------------------------------------------------------------------

def check_pair(r, old, new, old_key=KEY, new_key=KEY):
    """The alias is followed, and verifies the sign key."""
    assert error_code(pget, r, old, b"n", OTHER_KEY) == "BADSIGNATURE"
    assert pget(r, old, b"n", old_key) == b"d"
    assert pset(r, old, b"written", b"through the alias", old_key) == b"OK"
    assert pget(r, new, b"written", new_key) == b"through the alias"
    assert sg(r, "ROTATE", old, "GRACE", 5, sign_key=old_key) == new
    assert end(r, old, old_key) == b"OK"
    assert r.exists(old, new) == 0


def test_an_alias_outlives_debug_reload(server, r, rotated):
    before = server.sessions()
    r.execute_command("DEBUG", "RELOAD")
    assert server.sessions() == before
    check_pair(r, *rotated)


def rotations(r):
    """A pair of each kind, and a chain: [(old, new, key of old, key of new)]."""
    pairs = []
    for form in ("v1", "v2"):
        for new_key in (KEY, NEW_KEY):
            old = sg(r, "START", 1000, "FORMAT", form, "PAYLOADS", 1, b"n", b"d")
            new = sg(r, "ROTATE", old, "NEWKEY", new_key, "GRACE", 300, "TTL", 2000, "MAXTTL", 5000)
            pairs.append((old, new, KEY, new_key))
    old = sg(r, "START", 1000, "PAYLOADS", 1, b"n", b"d")
    pairs.append((old, chain(r, old, 3)[-1], KEY, KEY))
    return pairs


def test_an_alias_outlives_a_restart_from_an_rdb_file(make_server):
    server = make_server()
    pairs = rotations(server.client())
    before = server.sessions()
    server.client().save()
    server.restart()
    assert server.sessions() == before
    for pair in pairs:
        check_pair(server.client(), *pair)


@pytest.mark.parametrize("rewritten", [False, True], ids=["as written", "rewritten"])
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_an_alias_outlives_a_restart_from_an_aof(make_server, preamble, rewritten):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    pairs = rotations(server.client())
    before = server.sessions()
    if rewritten:
        server.client().bgrewriteaof()
        server.wait_saved()
    server.kill9()
    server.start()
    assert server.sessions() == before
    for pair in pairs:
        check_pair(server.client(), *pair)
    server.restart()
    assert server.sessions() == {}


@pytest.mark.parametrize("late", [False, True], ids=["by effects", "by a full synchronization"])
def test_an_alias_is_served_and_promoted_on_a_replica(make_server, replica_of, late):
    master = make_server()
    if late:
        pairs = rotations(master.client())
    replica = replica_of(master)
    if not late:
        pairs = rotations(master.client())
    replica.wait_synced()
    assert replica.sessions() == master.sessions()
    r = replica.client()
    for old, _, key, _ in pairs:
        assert pget(r, old, b"n", key) == b"d"
        assert error_code(pget, r, old, b"n", OTHER_KEY) == "BADSIGNATURE"
        assert error_code(pset, r, old, b"n", b"x", key) == "READONLY"
    master.kill9()
    r.replicaof("NO", "ONE")
    for pair in pairs:
        check_pair(r, *pair)


def test_the_end_through_an_alias_reaches_replicas(make_server, replica_of):
    master = make_server()
    replica = replica_of(master)
    for old, *_ in rotations(master.client()):
        end(master.client(), old)
    replica.wait_synced()
    assert replica.sessions() == master.sessions() == {}


def test_an_alias_can_be_dumped_and_restored(r, rotated):
    old, new = rotated
    dump, expires = r.dump(old), expiry(r, old)
    r.delete(old)
    assert error_code(pget, r, old, b"n") == "NOSESSION"
    r.restore(old, expires, dump, absttl=True)
    assert expiry(r, old) == expires
    check_pair(r, old, new)


@pytest.mark.parametrize("cut", [5, 11, 20])
def test_a_damaged_dump_of_an_alias_is_refused(server, r, rotated, cut):
    old, _ = rotated
    dump = r.dump(old)
    r.delete(old)
    assert error_code(r.restore, old, 0, dump[:-cut]) == "ERR"
    assert r.exists(old) == 0 and server.alive()


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_a_copy_of_an_alias_is_an_alias_of_the_same_session(r, form):
    old = sg(r, "START", 1000, "FORMAT", form, "PAYLOADS", 1, b"n", b"d")
    new = sg(r, "ROTATE", old, "GRACE", 300)
    name = signed(KEY, b"TheCopyOfAnAlias")
    assert pget(r, old, b"n") == b"d"
    assert r.copy(old, name) is True
    assert expiry(r, name) == expiry(r, old)
    assert pget(r, name, b"n") == b"d"
    assert end(r, name) == b"OK"
    assert r.keys() == [old]
    assert error_code(pget, r, old, b"n") == "NOSESSION"
    assert error_code(pget, r, new, b"n") == "NOSESSION"


def test_a_renamed_alias_opens_by_its_new_name_and_that_names_key(r, rotated):
    old, new = rotated
    name = signed(NEW_KEY, b"TheRenamedAlias0")
    assert pget(r, old, b"n") == b"d"  # so that a verified sign key is remembered
    r.rename(old, name)
    assert error_code(pget, r, name, b"n", KEY) == "BADSIGNATURE"
    assert error_code(pget, r, old, b"n", KEY) == "NOSESSION"
    check_pair(r, name, new, NEW_KEY)


def test_a_rotated_session_does_not_open_by_what_was_verified_for_its_old_name(r, token):
    assert pget(r, token, b"n") == b"d"
    new = sg(r, "ROTATE", token, "NEWKEY", NEW_KEY, "GRACE", 100)
    assert error_code(pget, r, new, b"n", KEY) == "BADSIGNATURE"
    assert pget(r, new, b"n", NEW_KEY) == b"d"
    assert error_code(pget, r, new, b"n", KEY) == "BADSIGNATURE"


def test_a_rotation_in_a_transaction_and_in_a_script(r, token):
    with r.pipeline(transaction=True) as transaction:
        transaction.execute_command("SESSIONGATE.ROTATE", KEY, token, "GRACE", 100)
        transaction.execute_command("SESSIONGATE.PGET", KEY, token, b"n")
        transaction.execute_command("SESSIONGATE.ROTATE", KEY, token, "GRACE", 100)
        new, data, same = transaction.execute()
    assert data == b"d" and same == new
    newest = r.eval("return redis.call('SESSIONGATE.ROTATE', ARGV[1], KEYS[1], 'GRACE', 50)", 1,
                    new, KEY)
    assert is_token(newest)
    assert pget(r, token, b"n") == pget(r, newest, b"n") == b"d"
