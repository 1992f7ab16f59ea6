"""The life of an owner's list: never shorter than any of its sessions', and not much longer; pruned
as it grows, and put together again where it was lost."""

import time

import pytest

from features import OTHER_KEY, OWNER, info, oend, olist, ostart, sg
from harness import KEY, end, expire, wait_for

TOKEN_BYTES = 41  # a token in a list


def life(r, key=OWNER):
    """When the key expires, in unix ms."""
    return r.execute_command("PEXPIRETIME", key)


def reach(r, token, sign_key=KEY):
    """How long the list may live for that session's sake: a ttl longer than it, and no longer than
    its deadline lets it be refreshed."""
    about = info(r, token, sign_key)
    longest = life(r, token) + about["idle"]
    return min(longest, about["deadline"]) if about["deadline"] else longest


def check_life(r):
    """The list outlives each session of the owner, by at most one ttl of one of them."""
    sessions = [(token, sign_key) for sign_key in (KEY, OTHER_KEY)
                for token in olist(r, sign_key=sign_key)]
    assert max(life(r, token) for token, _ in sessions) <= life(r) \
        <= max(reach(r, *session) for session in sessions)


def over(r, *keys):
    """Wait until all these keys are gone."""
    wait_for(lambda: not r.exists(*keys), 10, "the keys are over")


def written(stream):
    """The names of the effects since the last call."""
    return [command[0].decode() for command in stream.commands()]


# As long as the sessions, and not much longer -----------------------------------------------------

def test_a_list_lives_as_long_as_its_session_and_a_ttl_longer(r):
    token = ostart(r, 100)
    assert life(r) == life(r, token) + 100_000
    check_life(r)


def test_a_list_lives_as_long_as_the_longest_of_its_sessions(r):
    for ttl in (100, 10, 1000, 500, 3_153_600_000, 50):
        ostart(r, ttl)
        check_life(r)


def test_a_list_is_not_kept_past_what_a_deadline_allows(r):
    token = ostart(r, 100, "MAXTTL", 150)
    assert life(r) == info(r, token)["deadline"]
    other = ostart(r, 100, "MAXTTL", 50)
    assert life(r, other) == info(r, other)["deadline"]
    check_life(r)
    end(r, token)
    assert life(r) == info(r, other)["deadline"] == life(r, other)


@pytest.mark.parametrize("change", [
    lambda r, token: end(r, token), lambda r, token: expire(r, token, 0),
    lambda r, token: expire(r, token, 10), lambda r, token: sg(r, "ROTATE", token, "TTL", 10),
    lambda r, token: sg(r, "ROTATE", token, "MAXTTL", 10),
    lambda r, token: oend(r, "KEEP", olist(r)[0]),
    lambda r, token: ostart(r, 10, "LIMIT", 1)],
    ids=["END", "EXPIRE 0", "EXPIRE", "ROTATE TTL", "ROTATE MAXTTL", "OEND", "LIMIT"])
def test_a_list_whose_longest_session_needs_less_or_ends_lives_shorter(r, change):
    ostart(r, 20)
    token = ostart(r, 1000)
    assert life(r) == life(r, token) + 1_000_000
    change(r, token)
    assert life(r) < time.time() * 1000 + 41_000
    check_life(r)


@pytest.mark.parametrize("change", [
    lambda r, token: end(r, token), lambda r, token: expire(r, token, 10),
    lambda r, token: sg(r, "ROTATE", token, "TTL", 10)], ids=["END", "EXPIRE", "ROTATE"])
def test_a_list_stays_as_long_for_the_sake_of_another_application(r, change):
    theirs, mine = ostart(r, 500, sign_key=OTHER_KEY), ostart(r, 1000)
    change(r, mine)
    assert life(r) == life(r, theirs) + 500_000


@pytest.mark.parametrize("change", [
    lambda r, token: expire(r, token, 1000), lambda r, token: sg(r, "ROTATE", token, "TTL", 1000)],
    ids=["EXPIRE", "ROTATE"])
def test_a_list_lives_longer_when_a_session_does(r, change):
    tokens = [ostart(r, 10) for _ in range(3)]
    change(r, tokens[1])
    assert life(r) > time.time() * 1000 + 999_000
    check_life(r)


def test_a_touch_never_lets_a_session_outlive_its_list(r):
    token = ostart(r, 100)
    r.pexpire(OWNER, 50_000)
    for _ in range(2):
        assert sg(r, "TOUCH", token) == 100
        check_life(r)


def test_one_ttl_after_the_last_session_is_over_nothing_is_left(r):
    """With the server's own expiry, and nobody who looks at the list."""
    tokens = [ostart(r, 1), ostart(r, 1, "MAXTTL", 2), ostart(r, 1)]
    until = max(reach(r, token) for token in tokens)
    assert life(r) <= until
    over(r, *tokens)
    wait_for(lambda: time.time() * 1000 > until, 10, "one ttl later")
    wait_for(lambda: not r.exists(OWNER), 1, "the server's clock says so too")


def test_a_list_is_no_key_when_its_last_token_goes(r):
    for last in (lambda token: end(r, token), lambda token: expire(r, token, 0),
                 lambda token: oend(r)):
        for _ in range(3):
            token = ostart(r)
        for other in olist(r)[:-1]:
            end(r, other)
        assert r.exists(OWNER) == 1
        last(token)
        assert r.dbsize() == 0


# The second write is spared ----------------------------------------------------------------------

def test_most_touches_write_one_key(r, stream):
    """While the list has slack: a ttl's, from when the list was last written."""
    token = ostart(r, 1000)
    before = life(r)
    stream.commands()
    for _ in range(20):
        r.pexpire(token, 900_000)
        sg(r, "TOUCH", token)
    assert written(stream).count("SGTO") == 20
    assert life(r) == before
    r.pexpire(OWNER, 999_000)
    stream.commands()
    r.pexpire(token, 900_000)
    sg(r, "TOUCH", token)
    assert written(stream) == ["PEXPIREAT", "SGOX"]
    check_life(r)


def test_an_expire_to_as_long_a_life_writes_one_key(r, stream):
    token = ostart(r, 1000)
    other = ostart(r, 10)
    stream.commands()
    expire(r, token, 1500)
    expire(r, other, 20)
    assert written(stream) == ["SGEX"] * 2
    expire(r, token, 3000)
    assert written(stream) == ["SGOX"]


@pytest.mark.parametrize("loss", [lambda r: r.delete(OWNER), lambda r: r.pexpire(OWNER, 1000)],
                         ids=["lost", "shortened"])
def test_a_touch_within_minage_does_not_look_at_the_list(r, stream, loss):
    token = ostart(r, 1000)
    loss(r)
    stream.commands()
    held = r.dump(OWNER)
    sg(r, "TOUCH", token, "MINAGE", 60)
    assert stream.commands() == [] and r.dump(OWNER) == held
    r.pexpire(token, 900_000)
    sg(r, "TOUCH", token, "MINAGE", 60)
    assert olist(r) == [token]
    check_life(r)


def test_a_touch_that_changes_no_time_heals_all_the_same(r, stream):
    """The session was cut to its deadline before, and so does not change."""
    token = ostart(r, 1000, "MAXTTL", 500)
    r.delete(OWNER)
    stream.commands()
    sg(r, "TOUCH", token)
    assert written(stream) == ["SGOX"]
    assert olist(r) == [token]
    sg(r, "TOUCH", token)
    assert stream.commands() == []


# Deleted by hand ---------------------------------------------------------------------------------

HEALING = {"EXPIRE": lambda r, token: expire(r, token, 100) and token,
           "shorter EXPIRE": lambda r, token: expire(r, token, 1) and token,
           "TOUCH": lambda r, token: sg(r, "TOUCH", token) and token,
           "TOUCH MINAGE": lambda r, token: sg(r, "TOUCH", token, "MINAGE", 0) and token,
           "ROTATE": lambda r, token: sg(r, "ROTATE", token),
           "ROTATE GRACE": lambda r, token: sg(r, "ROTATE", token, "GRACE", 60),
           "KEEP": lambda r, token: [oend(r, "KEEP", token), token][1]}


@pytest.mark.parametrize("way", HEALING)
def test_a_list_that_was_deleted_is_healed(r, way):
    tokens = [ostart(r) for _ in range(2)]
    r.delete(OWNER)
    assert olist(r) == [] and oend(r) == 0
    healed = [HEALING[way](r, tokens[1])]
    assert olist(r) == healed
    check_life(r)
    if way != "KEEP":
        healed.insert(0, HEALING[way](r, tokens[0]))
        check_life(r)
    assert sorted(olist(r)) == sorted(healed)
    assert oend(r) == len(healed)


@pytest.mark.parametrize("way", HEALING)
def test_a_token_that_a_list_lost_is_put_back(r, way):
    other = ostart(r)
    dump = r.dump(OWNER)
    token = ostart(r)
    r.restore(OWNER, 30_000, dump, replace=True)
    assert olist(r) == [other]
    kept = HEALING[way](r, token)
    assert set(olist(r)) == ({kept} if way == "KEEP" else {other, kept})
    check_life(r)


def test_an_ended_session_heals_nothing(r):
    token = ostart(r)
    r.delete(OWNER)
    assert end(r, token) == b"OK"
    assert r.dbsize() == 0


def test_a_new_start_heals_no_other_session(r):
    lost = ostart(r)
    r.delete(OWNER)
    new = ostart(r, 60, "LIMIT", 1)
    assert olist(r) == [new] and r.exists(lost) == 1


# PERSIST by hand ---------------------------------------------------------------------------------

WRITES = {"OSTART": lambda r, token: ostart(r), "EXPIRE": lambda r, token: expire(r, token, 50),
          "TOUCH": lambda r, token: sg(r, "TOUCH", token),
          "ROTATE": lambda r, token: sg(r, "ROTATE", token), "END": lambda r, token: end(r, token),
          "LIMIT": lambda r, token: ostart(r, 60, "LIMIT", 1),
          "KEEP": lambda r, token: oend(r, "KEEP", token),
          "OEND": lambda r, token: oend(r)}


@pytest.mark.parametrize("write", WRITES)
def test_a_list_without_expiry_gets_one_at_its_next_write(r, write):
    ostart(r)
    ostart(r, sign_key=OTHER_KEY)
    token = ostart(r)
    r.persist(OWNER)
    WRITES[write](r, token)
    assert r.pttl(OWNER) > 0
    check_life(r)


def test_a_list_without_expiry_and_with_dead_tokens_only_gets_one_too(r):
    dead, token = ostart(r), ostart(r)
    r.unlink(dead)
    r.persist(OWNER)
    end(r, token)
    wait_for(lambda: not r.exists(OWNER), 5, "the list gone")


def test_a_list_is_over_with_its_last_living_session_whatever_dead_tokens_it_has(
        make_server, replica_of):
    master = make_server()
    replica = replica_of(master)
    r = master.client()
    for over in (r.unlink, lambda token: r.pexpire(token, 1)):
        last, dead = ostart(r, 1_000_000), ostart(r)
        over(dead)
        wait_for(lambda: not r.exists(dead), 5, "one session over")
        end(r, last)
        wait_for(lambda: not r.exists(OWNER), 5, "the list gone")
        replica.wait_synced()
        assert replica.sessions() == master.sessions() == {}


def test_a_session_without_expiry_does_not_outlive_its_list(r):
    token = ostart(r, 10)
    r.persist(token)
    token = sg(r, "ROTATE", token)
    end(r, ostart(r, 100))
    # It has no end until it is refreshed; until then its list has the longest life there is.
    assert r.ttl(token) == -1 and r.ttl(OWNER) > 3_000_000_000
    assert sg(r, "TOUCH", token) == 10
    check_life(r)
    assert oend(r) == 1


# Pruning -----------------------------------------------------------------------------------------

def tokens_in(r):
    """How many tokens are in the list, dead ones too."""
    r.config_set("rdbcompression", "no")
    return len(r.dump(OWNER)) // TOKEN_BYTES


def test_a_list_of_many_short_sessions_stays_short_on_the_replica_too(server, r, replica_of):
    replica = replica_of(server)
    living = [ostart(r, 1000) for _ in range(5)]
    longest = 0
    for _ in range(60):
        some = [ostart(r, 1000) for _ in range(5)]
        r.unlink(*some)
        longest = max(longest, tokens_in(r))
    assert longest <= 16 + 1
    assert olist(r) == living
    replica.wait_synced()
    assert replica.client().dump(OWNER) == r.dump(OWNER)
    assert replica.sessions() == server.sessions()


def test_a_list_of_many_living_sessions_holds_at_most_twice_as_many_tokens(server, r):
    living = [ostart(r, 1000) for _ in range(50)]
    longest = 0
    with server.wire() as wire:
        for _ in range(10):
            wire.pipeline(("UNLINK", token) for token in wire.pipeline(
                [("SESSIONGATE.OSTART", KEY, OWNER, 1000)] * 50))
            longest = max(longest, tokens_in(r))
    assert 60 < longest <= 2 * 100 + 1
    assert olist(r) == living


def test_pruning_goes_on_after_a_restart_and_a_promotion(server, r, replica_of):
    replica = replica_of(server)
    for _ in range(30):
        r.unlink(ostart(r, 1000))
    replica.wait_synced()
    replica.client().replicaof("NO", "ONE")
    r.execute_command("DEBUG", "RELOAD")
    for client in (r, replica.client()):
        for _ in range(60):
            client.unlink(ostart(client, 1000))
        assert tokens_in(client) <= 2 * 16 + 1


@pytest.mark.parametrize("write", ["LIMIT", "OEND"])
def test_whoever_looks_through_a_list_prunes_it(r, write):
    tokens = [ostart(r) for _ in range(10)]
    r.unlink(*tokens[:8])
    if write == "LIMIT":
        ostart(r, 60, "LIMIT", 5)
    else:
        assert oend(r, "KEEP", tokens[9]) == 1
    assert tokens_in(r) == len(olist(r))


# Ended in other ways -----------------------------------------------------------------------------

def test_an_expired_session_leaves_no_trace_in_answers(server, r):
    r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    tokens = [ostart(r) for _ in range(3)]
    r.pexpire(tokens[0], 1)
    r.pexpire(tokens[2], 1)
    at = time.time() + 0.002
    wait_for(lambda: time.time() > at, 5, "a millisecond")
    assert olist(r) == [tokens[1]]
    assert oend(r) == 1
    assert r.dbsize() == 0


def test_an_expired_list_is_no_list(server, r):
    """And a session that outlived it, by hand, heals it."""
    r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    token = ostart(r)
    r.pexpire(OWNER, 1)
    at = time.time() + 0.002
    wait_for(lambda: time.time() > at, 5, "a millisecond")
    assert olist(r) == [] and oend(r) == 0
    expire(r, token, 60)
    assert olist(r) == [token]
