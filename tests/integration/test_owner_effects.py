"""What others see of owners: replicas and the AOF, to the argument; files; listeners and caches;
the server's own commands; access control."""

import pytest

from features import (OTHER_KEY, OWNER, Observers, defragment, info, oend, olist, ostart, payloads,
                      pushes, sg)
from harness import KEY, end, error_code, expire, pget, pset

AOF = {"appendonly": "yes", "appendfsync": "always", "auto_aof_rewrite_percentage": 0}


def number(value):
    return b"%d" % value


def expiry(r, key):
    return number(r.execute_command("PEXPIRETIME", key))


# To the argument ---------------------------------------------------------------------------------

def ostart_of(r, token, ended=(), dead=(), payloads=(), owner=OWNER):
    about = info(r, token)
    return [b"SGOS", token, owner, expiry(r, token), number(about["idle"] // 1000),
            number(about["created"]), number(about["deadline"]), expiry(r, owner),
            number(len(ended)), number(len(dead)), *ended, *dead, *payloads]


def oexpire_of(r, token, *aliases):
    return [b"SGOX", token, OWNER, expiry(r, token),
            number(info(r, token)["idle"] // 1000), expiry(r, OWNER), *aliases]


def orotate_of(r, old, new, alias, *aliases):
    about = info(r, new)
    return [b"SGOR", old, new, OWNER, expiry(r, new), number(about["deadline"]),
            number(about["idle"] // 1000), alias, expiry(r, OWNER), *aliases]


def oend_of(r, kept=b"", ended=(), dead=()):
    life = expiry(r, OWNER) if r.exists(OWNER) else b"0"
    return [b"SGOE", OWNER, life, kept, number(len(ended)), *ended, *dead]


def test_ostart_sends_the_session_with_its_list_as_one(r, stream):
    token = ostart(r)
    assert stream.commands() == [ostart_of(r, token)]
    token = ostart(r, 770, "MAXTTL", 77, "PAYLOADS", 2, b"n\0", b"d\r\n", b"m", b"d")
    assert stream.commands() == [ostart_of(r, token, payloads=(b"n\0", b"d\r\n", b"m", b"d"))]


def test_limit_sends_those_that_it_ends_and_the_dead_tokens_that_it_found(r, stream):
    tokens = [ostart(r) for _ in range(5)]
    r.unlink(tokens[1])
    stream.commands()
    new = ostart(r, 60, "LIMIT", 3, "PAYLOADS", 1, b"n", b"d")
    assert stream.commands() == [
        ostart_of(r, new, [tokens[0], tokens[2]], [tokens[1]], (b"n", b"d"))]


def test_pruning_is_sent_with_the_start_that_prunes(r, stream):
    tokens = [ostart(r) for _ in range(16)]
    r.unlink(*tokens[3:9])
    stream.commands()
    new = ostart(r)
    assert stream.commands() == [ostart_of(r, new, dead=tokens[3:9])]


def test_oend_sends_all_that_it_ends_as_one(r, stream):
    tokens = [ostart(r) for _ in range(5)]
    theirs = ostart(r, sign_key=OTHER_KEY)
    r.unlink(tokens[1])
    stream.commands()
    oend(r, "KEEP", tokens[3])
    ended = [tokens[0], tokens[2], tokens[4]]
    assert stream.commands() == [oend_of(r, tokens[3], ended, [tokens[1]])]
    oend(r)
    assert stream.commands() == [oend_of(r, ended=[tokens[3]])]
    oend(r, sign_key=OTHER_KEY)
    assert stream.commands() == [oend_of(r, ended=[theirs])]
    assert r.dbsize() == 0


def test_a_kept_session_that_the_list_had_lost_is_sent(r, stream):
    token = ostart(r)
    r.delete(OWNER)
    stream.commands()
    oend(r, "KEEP", token)
    assert stream.commands() == [oend_of(r, token)]


def test_end_sends_the_list_that_it_leaves(r, stream):
    tokens = [ostart(r) for _ in range(4)]
    new = sg(r, "ROTATE", tokens[3], "GRACE", 60)
    stream.commands()
    end(r, tokens[0])
    assert stream.commands() == [oend_of(r, ended=[tokens[0]])]
    expire(r, tokens[1], 0)
    assert stream.commands() == [oend_of(r, ended=[tokens[1]])]
    end(r, tokens[3])
    assert stream.commands() == [oend_of(r, ended=[tokens[3], new])]
    r.delete(OWNER)
    stream.commands()
    end(r, tokens[2])
    assert stream.commands() == [[b"SGEN", tokens[2]]]


def test_expire_and_touch_send_the_list_where_it_changes(r, stream):
    token = ostart(r, 60)
    stream.commands()
    expire(r, token, 100)
    assert stream.commands() == [[b"SGEX", token, expiry(r, token), b"100"]]
    expire(r, token, 1000)
    assert stream.commands() == [oexpire_of(r, token)]
    r.pexpire(token, 5000)
    stream.commands()
    sg(r, "TOUCH", token)
    assert stream.commands() == [[b"SGTO", token, expiry(r, token)]]
    r.delete(OWNER)
    r.pexpire(token, 5000)
    stream.commands()
    sg(r, "TOUCH", token)
    assert stream.commands() == [oexpire_of(r, token)]


def test_a_rotation_sends_the_list(r, stream):
    token = ostart(r)
    stream.commands()
    new = sg(r, "ROTATE", token)
    assert stream.commands() == [orotate_of(r, token, new, b"0")]
    newer = sg(r, "ROTATE", new, "GRACE", 30, "TTL", 500, "MAXTTL", 300)
    assert stream.commands() == [orotate_of(r, new, newer, expiry(r, new))]


def test_a_change_through_a_rotated_token_names_it(r, stream):
    old = ostart(r)
    new = sg(r, "ROTATE", old, "GRACE", 60)
    newer = sg(r, "ROTATE", new, "GRACE", 60)
    stream.commands()
    expire(r, old, 1000)
    assert stream.commands() == [oexpire_of(r, newer, old, new)]
    cut = sg(r, "ROTATE", old, "TTL", 5000)
    assert stream.commands() == [orotate_of(r, newer, cut, b"0", old, new)]


def test_what_changes_nothing_sends_nothing(r, stream):
    token = ostart(r, 1000)
    stream.commands()
    olist(r)
    sg(r, "TOUCH", token, "MINAGE", 60)
    oend(r, "KEEP", token)
    oend(r, owner=b"nobody")
    oend(r, sign_key=OTHER_KEY)
    ostart(r, 0, "LIMIT", 1)
    for refused in (lambda: ostart(r, 60, "LIMIT", 0), lambda: oend(r, "KEEP", b"x"),
                    lambda: ostart(r, -1)):
        assert error_code(refused)
    assert stream.commands() == []


def test_a_transaction_and_a_script_send_their_effects_in_order(r, stream):
    with r.pipeline(transaction=True) as transaction:
        ostart(transaction)
        olist(transaction)
        oend(transaction)
        transaction.execute()
    names = [b"MULTI", b"SGOS", b"SGOE", b"EXEC"]
    assert [command[0] for command in stream.commands()] == names
    r.eval("redis.call('SESSIONGATE.OSTART', ARGV[1], KEYS[1], 60) "
           "return redis.call('SESSIONGATE.OEND', ARGV[1], KEYS[1])", 1, OWNER, KEY)
    assert [command[0] for command in stream.commands()] == names


# Replicas ----------------------------------------------------------------------------------------

def live(r, owner=OWNER):
    """Calls of every kind on an owner. Returns the tokens of the sessions that live."""
    tokens = [ostart(r, 1000, "PAYLOADS", 1, b"n", b"d%d" % n, owner=owner) for n in range(6)]
    ostart(r, 500, "MAXTTL", 700, owner=owner, sign_key=OTHER_KEY)
    tokens[1] = sg(r, "ROTATE", tokens[1], "GRACE", 60)
    tokens[1] = sg(r, "ROTATE", tokens[1], "TTL", 3000)
    end(r, tokens.pop(0))
    expire(r, tokens[1], 5000)
    r.unlink(tokens.pop())
    tokens.append(ostart(r, 60, "LIMIT", 3, owner=owner))
    sg(r, "TOUCH", tokens[-1])
    return [tokens[index] for index in (2, 3, 4)]


def several_owners(r):
    """Owners of all kinds. Returns {label: tokens}."""
    held = {label: live(r, label) for label in (OWNER, b"\0\r\n", b"x" * 200, b"{u}1", b"{u}2")}
    oend(r, "KEEP", held[b"{u}1"][1], owner=b"{u}1")
    held[b"{u}1"] = held[b"{u}1"][1:2]
    oend(r, owner=b"{u}2")
    held[b"{u}2"] = []
    return held


def lists(r, held):
    return {label: olist(r, owner=label) for label in held}


def same(master, *replicas):
    held = several_owners(master.client())
    assert lists(master.client(), held) == held
    snapshot = master.sessions()
    digest = master.client().execute_command("DEBUG", "DIGEST")
    for replica in replicas:
        replica.wait_synced()
        assert replica.sessions() == snapshot
        assert replica.client().execute_command("DEBUG", "DIGEST") == digest
        assert lists(replica.client(), held) == held
    return held


def test_chained_and_late_replicas_hold_the_same_lists_and_serve_them(server, r, replica_of):
    replica = replica_of(server, **AOF)
    chained = replica_of(replica)
    held = same(server, replica, chained)
    late = replica_of(server)
    assert late.sessions() == server.sessions() and lists(late.client(), held) == held
    assert error_code(oend, late.client()) == error_code(ostart, late.client()) == "READONLY"
    replica.kill9()
    replica.start()
    assert lists(replica.client(), held) == held


def test_a_promoted_replica_goes_on(server, r, replica_of):
    replica = replica_of(server)
    held = same(server, replica)
    promoted = replica.client()
    promoted.replicaof("NO", "ONE")
    new = ostart(promoted, 60, "LIMIT", 3)
    assert olist(promoted) == [*held[OWNER][1:], new]
    assert olist(r) == held[OWNER]
    assert oend(promoted) == 3 and olist(promoted) == []


def test_a_dead_token_is_let_be_on_the_replica_as_on_the_master(server, r, replica_of):
    """An alias under it, or a session of the owner in a foreign slot: put there by hand."""
    replica = replica_of(server)
    alias, listed = ostart(r), ostart(r, owner=b"far away")
    r.copy(OWNER, b"kept")
    new = sg(r, "ROTATE", alias, "GRACE", 60)
    r.copy(b"kept", OWNER, replace=True)
    assert oend(r) == 0
    replica.wait_synced()
    assert replica.sessions() == server.sessions()
    assert sg(replica.client(), "TTL", alias) > 0
    r.rename(new, listed)
    r.rename(b"far away", OWNER)
    for call in (lambda: oend(r), lambda: ostart(r, 60, "LIMIT", 1)):
        call()
        replica.wait_synced()
        assert replica.sessions() == server.sessions()
        assert r.exists(listed) == 1


LOSSES = {"the list": lambda r, tokens: r.delete(OWNER),
          "a session": lambda r, tokens: r.delete(tokens[1]),
          "everything": lambda r, tokens: r.flushall(),
          "the list to a string": lambda r, tokens: r.set(OWNER, "x")}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_replica_that_lost_list_or_session_takes_every_effect(server, r, replica_of, loss):
    """By hand, while it was writable. It stays linked, and makes no session of half of one."""
    replica = replica_of(server, replica_read_only="no")
    theirs = replica.client()
    for change in (lambda t: expire(r, t, 10_000), lambda t: end(r, t), lambda t: oend(r),
                   lambda t: sg(r, "ROTATE", t, "GRACE", 60), lambda t: oend(r, "KEEP", t),
                   lambda t: ostart(r, 60, "LIMIT", 1)):
        r.flushall()
        tokens = [ostart(r, 100) for _ in range(3)]
        replica.wait_synced()
        LOSSES[loss](theirs, tokens)
        change(tokens[1])
        replica.wait_synced()
        assert {key for key in theirs.keys() if theirs.type(key) == b"sgsession"} \
            <= {key for key in r.keys() if r.type(key) == b"sgsession"}
    assert "CRITICAL" not in replica.log()


# Files -------------------------------------------------------------------------------------------

def test_an_rdb_file_holds_owners(make_server):
    server = make_server()
    held = several_owners(server.client())
    before = server.sessions()
    server.client().save()
    server.kill9()
    server.start()
    assert server.sessions() == before and lists(server.client(), held) == held
    server.client().execute_command("DEBUG", "RELOAD")
    assert server.sessions() == before and lists(server.client(), held) == held
    for label, tokens in held.items():
        for token in tokens:
            assert info(server.client(), token)["owner"] == label


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_an_aof_holds_owners(make_server, preamble):
    server = make_server(aof_use_rdb_preamble=preamble, **AOF)
    held = several_owners(server.client())
    before = server.sessions()
    server.kill9()
    server.start()  # from effects alone
    assert server.sessions() == before and lists(server.client(), held) == held
    server.client().bgrewriteaof()
    server.wait_saved()
    server.kill9()
    server.start()  # from the rewritten base
    assert server.sessions() == before and lists(server.client(), held) == held
    assert oend(server.client()) == 3
    live(server.client())
    before = server.sessions()
    server.kill9()
    server.start()  # from both
    assert server.sessions() == before


def test_a_session_of_an_owner_is_rewritten_whole(make_server):
    server = make_server(aof_use_rdb_preamble="no", **AOF)
    r = server.client()
    tokens = [ostart(r, 1000, "MAXTTL", 5000) for _ in range(3)]
    for token, count in zip(tokens, (0, 1, 100)):
        for n in range(count):
            pset(r, token, b"n%d" % n, b"d" * n + b".")
    about = [(info(r, token), payloads(r, token)) for token in tokens]
    r.bgrewriteaof()
    server.wait_saved()
    server.kill9()
    server.start()
    r = server.client()
    for token, (was, held) in zip(tokens, about):
        now = info(r, token)
        assert now.pop("ttl") <= was.pop("ttl")
        assert now == was and payloads(r, token) == held


# The server's commands ---------------------------------------------------------------------------

def test_owner_and_sessions_move_together_to_another_database_and_back(server, r):
    tokens = [ostart(r) for _ in range(3)]
    before = server.sessions()
    r.swapdb(0, 1)
    other = server.client(db=1)
    assert olist(r) == [] and olist(other) == tokens
    for key in (OWNER, *tokens):
        assert other.move(key, 0)
    assert olist(other) == [] and olist(r) == tokens
    assert server.sessions() == before


def test_a_list_alone_in_another_database_has_no_sessions(server, r):
    token = ostart(r)
    r.copy(OWNER, OWNER, destination_db=1)
    other = server.client(db=1)
    assert olist(other) == [] and oend(other) == 0 and other.dbsize() == 0
    assert olist(r) == [token]
    assert r.move(OWNER, 1) and olist(r) == []
    sg(r, "ROTATE", token)
    assert len(olist(r)) == 1


def test_copies_dumps_and_renames_of_a_list_are_the_same_list(server, r):
    tokens = [ostart(r) for _ in range(20)]
    r.copy(OWNER, b"copy")
    r.restore(b"restored", r.pttl(OWNER), r.dump(OWNER))
    digests = r.execute_command("DEBUG", "DIGEST-VALUE", OWNER, b"copy", b"restored")
    assert len(set(digests)) == 1
    r.rename(OWNER, b"renamed")
    assert olist(r) == []
    r.rename(b"renamed", OWNER)
    assert olist(r) == tokens
    r.copy(b"restored", OWNER, replace=True)
    assert olist(r) == tokens and oend(r) == 20


def test_sessions_of_an_owner_are_dumped_and_restored_with_it(server, r):
    tokens = [ostart(r, 60, "PAYLOADS", 1, b"n", b"d") for _ in range(3)]
    dumps = {key: r.dump(key) for key in (OWNER, *tokens)}
    r.flushall()
    for key, dump in dumps.items():
        r.restore(key, 60_000, dump)
    assert olist(r) == tokens
    assert [pget(r, token, b"n") for token in tokens] == [b"d"] * 3
    assert oend(r, "KEEP", tokens[0]) == 2


def test_digests_tell_lists_and_owners_apart(r):
    def digest(*keys):
        return r.execute_command("DEBUG", "DIGEST-VALUE", *keys)

    for _ in range(2):
        ostart(r)
    before = digest(OWNER)
    r.copy(OWNER, b"copy")
    token = ostart(r)
    assert digest(OWNER) != before == digest(b"copy")
    end(r, token)
    assert digest(OWNER) == before
    for label in (b"{u}1", b"{u}2"):
        r.restore(label, 0, r.dump(OWNER))
    nobodys = sg(r, "START", 60, "FORMAT", "v2")
    assert len(set(digest(ostart(r, owner=b"{u}3"), ostart(r, owner=b"{u}4"), nobodys))) == 3


def test_memory_usage_grows_with_the_list_and_the_label(r):
    def usage(key):
        return r.execute_command("MEMORY", "USAGE", key)

    tokens = [ostart(r)]
    one = usage(OWNER)
    tokens += [ostart(r) for _ in range(10)]
    assert usage(OWNER) == one + 10 * 41
    r.delete(OWNER)
    long = ostart(r, owner=b"x" * 200)
    assert usage(long) == usage(tokens[0]) + 200 - len(OWNER)
    assert usage(tokens[0]) == usage(sg(r, "START", 60, "FORMAT", "v2")) + len(OWNER)


def test_active_defragmentation_leaves_owners_whole(server, r):
    if error_code(r.config_set, "activedefrag", "yes"):
        pytest.skip(f"{server.name} is built without active defragmentation")
    r.config_set("activedefrag", "no")
    labels = [b"owner:%d" % n for n in range(5000)]
    with server.wire() as wire:
        tokens = wire.pipeline(("SESSIONGATE.OSTART", KEY, label, 600, "PAYLOADS", 1, b"n", label)
                               for label in labels for _ in range(4))
        wire.pipeline(("SESSIONGATE.OEND", KEY, label) for label in labels[::2])
        wire.pipeline(("SESSIONGATE.END", KEY, tokens[at])
                      for at in range(4, len(tokens), 8))  # of each owner that is left, the first
        before = server.sessions()
        assert len(before) == 4 * 2500
        assert defragment(r) > 100
        assert server.sessions() == before
        for at in range(1, 5000, 2):
            assert wire.call("SESSIONGATE.OLIST", KEY, labels[at]) == tokens[4 * at + 1:4 * at + 4]
        assert wire.pipeline(("SESSIONGATE.OEND", KEY, label) for label in labels[1::2]) \
            == [3] * 2500
    assert r.dbsize() == 0


# Listeners and caches ----------------------------------------------------------------------------

CHANGES = {
    "OSTART": lambda r, tokens: ostart(r),
    "OSTART LIMIT": lambda r, tokens: ostart(r, 60, "LIMIT", 1),
    "OEND": lambda r, tokens: oend(r),
    "KEEP": lambda r, tokens: oend(r, "KEEP", tokens[0]),
    "END": lambda r, tokens: end(r, tokens[1]),
    "EXPIRE": lambda r, tokens: expire(r, tokens[1], 10_000),
    "shorter EXPIRE": lambda r, tokens: expire(r, tokens[1], 10),
    "ROTATE": lambda r, tokens: sg(r, "ROTATE", tokens[1])}


def two(server, r):
    """Two sessions of an owner: (their tokens, all three keys, what these hold)."""
    tokens = [ostart(r, 60), ostart(r, 1000)]
    return tokens, [OWNER, *tokens], server.sessions()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_aborts_whoever_watches_the_list_or_a_session_it_changed(server, r, change):
    tokens, keys, before = two(server, r)
    with server.wire() as list_, server.wire() as one, server.wire() as other:
        watchers = dict(zip(keys, (list_, one, other)))
        for key, wire in watchers.items():
            wire.call("WATCH", key)
        CHANGES[change](r, tokens)
        after = server.sessions()
        for key, wire in watchers.items():
            wire.call("MULTI")
            wire.call("PING")
            assert (wire.call("EXEC") is None) == (before[key] != after.get(key)), key


@pytest.mark.parametrize("change", CHANGES)
def test_caches_on_master_and_replica_hear_of_the_list_and_each_session(server, r, replica_of,
                                                                        change):
    tokens, keys, before = two(server, r)
    replica = replica_of(server)
    with server.wire(protocol=3) as mine, replica.wire(protocol=3) as theirs:
        for wire in (mine, theirs):
            wire.call("CLIENT", "TRACKING", "ON")
            assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == tokens
            for token in tokens:
                wire.call("SESSIONGATE.PGETALL", KEY, token)
        CHANGES[change](r, tokens)
        after = server.sessions()
        replica.wait_synced()
        told = {key for _, [key] in pushes(mine)}
        assert told == {key for key in keys if before[key] != after.get(key)}
        assert {key for _, [key] in pushes(theirs)} == told


def test_a_cached_list_of_an_absent_owner_hears_of_its_first_session(server, r):
    with server.wire(protocol=3) as wire:
        wire.call("CLIENT", "TRACKING", "ON")
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == []
        ostart(r)
        assert pushes(wire) == [[b"invalidate", [OWNER]]]


def test_a_change_that_spares_the_list_leaves_its_watchers_alone(server, r):
    token = ostart(r, 1000)
    with server.wire() as wire:
        wire.call("WATCH", OWNER)
        r.pexpire(token, 900_000)
        sg(r, "TOUCH", token)
        expire(r, token, 1100)
        pset(r, token, b"n", b"d")
        oend(r, "KEEP", token)
        olist(r)
        wire.call("MULTI")
        wire.call("PING")
        assert wire.call("EXEC") == ["PONG"]


def test_a_start_is_noticed_by_everybody_and_what_changes_nothing_by_nobody(server, r):
    token = ostart(r, 1000)
    with Observers(server, token) as observers:
        observers.noticed()
        olist(r)
        oend(r, "KEEP", token)
        oend(r, sign_key=OTHER_KEY)
        error_code(oend, r, "KEEP", b"x")
        assert observers.noticed() == set()
        oend(r)
        assert observers.noticed() == Observers.EVERYBODY


PREFIX = b"__keyspace@0__:"


def test_events_tell_of_each_session_that_starts_and_ends(server, r):
    r.config_set("notify-keyspace-events", "Kd")
    with server.wire() as wire:
        wire.call("PSUBSCRIBE", PREFIX + b"*")

        def heard():
            r.publish(PREFIX + b"mark", "")
            return [(channel[len(PREFIX):], event.decode()) for _, _, channel, event in
                    iter(wire.read, [b"pmessage", PREFIX + b"*", PREFIX + b"mark", b""])]
        tokens = [ostart(r) for _ in range(4)]
        assert heard() == [(token, "sessiongate.ostart") for token in tokens]
        new = ostart(r, 60, "LIMIT", 3)
        assert heard() == [(new, "sessiongate.ostart"), (tokens[0], "sessiongate.end"),
                           (tokens[1], "sessiongate.end")]
        oend(r, "KEEP", tokens[3])
        assert heard() == [(token, "sessiongate.end") for token in (tokens[2], new)]
        oend(r)
        assert heard() == [(tokens[3], "sessiongate.end")]
        oend(r)
        assert heard() == []


def test_the_counters_count_what_starts_and_ends(server, r):
    def counts():
        section = r.info("sessiongate")
        return {name: section[f"sessiongate_{name}"]
                for name in ("sessions_started", "sessions_ended", "sessions_rotated")}
    before = counts()
    for _ in range(4):
        ostart(r)
    ostart(r, 60, "LIMIT", 3)
    ostart(r, 0)
    sg(r, "ROTATE", olist(r)[0])
    oend(r)
    assert {name: count - before[name] for name, count in counts().items()} == {
        "sessions_started": 5, "sessions_ended": 5, "sessions_rotated": 1}


# Access control ----------------------------------------------------------------------------------

def as_user(server, r, *rules):
    r.execute_command("ACL", "SETUSER", "limited", "reset", "on", "nopass", *rules)
    wire = server.wire()
    wire.call("AUTH", "limited", "x")
    return wire


def test_a_user_of_labels_starts_lists_and_ends_and_touches_no_token(server, r):
    with as_user(server, r, "+@all", "~owner:*") as wire:
        token = wire.call("SESSIONGATE.OSTART", KEY, OWNER, 60)
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == [token]
        assert wire.call("SESSIONGATE.PGETALL", KEY, token).code == "NOPERM"
        assert wire.call("SESSIONGATE.END", KEY, token).code == "NOPERM"
        for command, *words in (("OSTART", 60), ("OLIST",), ("OEND",)):
            assert wire.call("SESSIONGATE." + command, KEY, b"nobody", *words).code == "NOPERM"
        assert wire.call("SESSIONGATE.OEND", KEY, OWNER) == 1


def test_a_user_of_tokens_writes_lists_by_what_it_does_with_sessions(server, r):
    token = ostart(r)
    with as_user(server, r, "+@all", "~v2.*") as wire:
        for command, *words in (("OSTART", 60), ("OLIST",), ("OEND",)):
            assert wire.call("SESSIONGATE." + command, KEY, OWNER, *words).code == "NOPERM"
        r.delete(OWNER)
        assert wire.call("SESSIONGATE.TOUCH", KEY, token) == 60
        assert olist(r) == [token]
        new = wire.call("SESSIONGATE.ROTATE", KEY, token)
        assert olist(r) == [new]
        assert wire.call("SESSIONGATE.END", KEY, new) == "OK"
    assert r.dbsize() == 0


def test_a_user_who_may_only_read_labels_lists_and_no_more(server, r):
    token = ostart(r)
    with as_user(server, r, "+@all", "%R~owner:*") as wire:
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == [token]
        assert wire.call("SESSIONGATE.OEND", KEY, OWNER).code == "NOPERM"
        assert wire.call("SESSIONGATE.OSTART", KEY, OWNER, 60).code == "NOPERM"
    assert olist(r) == [token]
