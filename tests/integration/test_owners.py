"""Owners: OSTART, OLIST, OEND, and whose a session is. What their lists live for is in
test_owner_lists.py, what replicas, files and listeners see of them in test_owner_effects.py."""

import pytest
from redis.crc import key_slot

from features import (OTHER_KEY, OWNER, info, is_v2, oend, olist, ostart, pairs, payloads, sg,
                      signed_v2, steered)
from harness import KEY, Wire, end, error_code, expire, pget, pset, signed, start, wait_for

OTHER_OWNER = b"owner:43"
LONGEST = bytes(range(200))


def several(r, count, **keywords):
    """Tokens of so many sessions of an owner, in the order of their starts."""
    return [ostart(r, **keywords) for _ in range(count)]


# OSTART ------------------------------------------------------------------------------------------

def test_a_session_of_an_owner_is_a_session_as_any_other(r):
    token = ostart(r, 1000, "PAYLOADS", 2, b"n", b"d", b"m\0", b"\r\n")
    assert is_v2(token) and r.type(token) == b"sgsession"
    assert payloads(r, token) == {b"n": b"d", b"m\0": b"\r\n"}
    assert pset(r, token, b"n", b"x") == b"OK" and pget(r, token, b"n") == b"x"
    assert sg(r, "TTL", token) == 1000
    assert sg(r, "PPOP", token, b"n") == b"x"
    assert end(r, token) == b"OK"
    assert error_code(pget, r, token, b"n") == "NOSESSION"


def test_ostart_takes_the_options_of_start_but_for_the_format(r):
    token = ostart(r, 770, "MAXTTL", 77, "PAYLOADS", 1, b"n", b"d", "LIMIT", 5)
    about = info(r, token)
    assert about["idle"] == 770_000 and about["deadline"] == about["created"] + 77_000
    assert 76_000 < about["ttl"] <= 77_000
    assert is_v2(ostart(r, 60, "limit", 5, "maxttl", 60))
    for words in (("FORMAT", "v1"), ("FORMAT", "v2"), ("LIMIT",), ("LIMIT", 1, "LIMIT", 1),
                  ("KEEP", 1), ("PAYLOADS", 2, b"n", b"d"), ("GRACE", 1)):
        assert error_code(ostart, r, 60, *words) == "ERR", words


@pytest.mark.parametrize("limit", [0, -1, b"", b"x", b"1.5", 10_001, 2**63])
def test_a_limit_is_a_number_from_1_to_10000(r, limit):
    token = ostart(r)
    assert error_code(ostart, r, 60, "LIMIT", limit) == "ERR"
    assert olist(r) == [token]
    assert is_v2(ostart(r, 60, "LIMIT", 10_000))


@pytest.mark.parametrize("owner", [b"o", b"\0", b"\xff\r\n{", LONGEST, b"v1", b"x" * 61, b"x" * 84])
def test_an_owner_is_1_to_200_bytes_of_any_kind(r, owner):
    token = ostart(r, owner=owner)
    assert info(r, token)["owner"] == owner
    assert olist(r, owner=owner) == [token]
    assert key_slot(token) == key_slot(owner)
    assert oend(r, owner=owner) == 1
    assert r.dbsize() == 0


@pytest.mark.parametrize("owner", [b"", LONGEST + b"x", b"x" * 70_000])
def test_an_owner_of_no_byte_or_more_than_200_is_refused(r, owner):
    for call in (ostart, olist, oend):
        assert error_code(call, r, owner=owner) == "ERR"
    assert r.dbsize() == 0


@pytest.mark.parametrize("owner", [b"owner:42", b"{user1000}.a", b"a{user1000}b{c}", b"foo{}{bar}",
                                   b"foo{{bar}}zap", b"{}", b"{", b"a}{b"])
def test_tokens_are_in_the_slot_of_the_label_with_its_hash_tag(r, owner):
    for token in several(r, 5, owner=owner):
        assert key_slot(token) == key_slot(owner)


def test_two_labels_with_one_hash_tag_are_two_owners(r):
    one, other = b"{u}1", b"{u}2"
    token, its = ostart(r, owner=one), ostart(r, owner=other)
    assert key_slot(token) == key_slot(its)
    assert (olist(r, owner=one), olist(r, owner=other)) == ([token], [its])
    assert oend(r, owner=one) == 1
    assert olist(r, owner=other) == [its]


def test_a_ttl_of_0_stores_nothing_and_ends_nobody(r):
    tokens = several(r, 3)
    token = ostart(r, 0, "LIMIT", 1, "PAYLOADS", 1, b"n", b"d")
    assert is_v2(token) and key_slot(token) == key_slot(OWNER)
    assert olist(r) == tokens
    ostart(r, 0, owner=OTHER_OWNER)
    assert set(r.keys()) == {*tokens, OWNER}


def test_the_first_wrong_argument_decides_and_leaves_everything_as_it_was(server, r):
    several(r, 2)
    r.set("a string", "x")
    before = server.sessions()
    for words, code in (((b"", OWNER, 60), "ERR"), ((KEY, b"", 60), "ERR"),
                        ((KEY, OWNER, -1), "ERR"), ((KEY, OWNER, "x"), "ERR"),
                        ((KEY, OWNER, 60, "LIMIT", 0), "ERR"), ((KEY, OWNER, 60, "x"), "ERR"),
                        ((KEY, OWNER, 60, "LIMIT", 1, "x"), "ERR"),
                        ((KEY, OWNER, 60, "LIMIT", 1, "PAYLOADS", 1, b"", b"d"), "ERR"),
                        ((KEY, b"a string", 60), "WRONGTYPE"),
                        ((KEY, b"a string", 0), "WRONGTYPE")):
        assert error_code(r.execute_command, "SESSIONGATE.OSTART", *words) == code, words
    assert server.sessions() == before


# Whose a session is ------------------------------------------------------------------------------

def test_info_names_the_owner_last_and_null_where_there_is_none(r):
    for token, owner in ((ostart(r), OWNER), (start(r), None)):
        flat = sg(r, "INFO", token)
        assert flat[-2:] == [b"owner", owner]


def test_the_owner_stays_through_everything_that_a_session_goes_through(r):
    token = ostart(r)
    for n in range(40):
        pset(r, token, b"n%d" % n, b"d" * n * 100 + b".")
    expire(r, token, 500)
    for options in ((), ("GRACE", 60), ("NEWKEY", KEY)):
        token = sg(r, "ROTATE", token, *options)
        assert info(r, token)["owner"] == OWNER
    r.execute_command("DEBUG", "RELOAD")
    assert info(r, token)["owner"] == OWNER
    assert olist(r) == [token]


def test_sessions_without_an_owner_are_nobodys(r):
    for token in (start(r), sg(r, "START", 60, "FORMAT", "v2")):
        expire(r, token, 100)
        sg(r, "TOUCH", token)
        sg(r, "ROTATE", token)
    sg(r, "ADOPT", steered(OWNER), 60)
    assert olist(r) == [] and oend(r) == 0
    assert b"sgownedby" not in {r.type(key) for key in r.keys()}


def test_a_session_under_another_name_is_not_in_the_list_until_it_is_used(r):
    """Who may rename and restore, and holds signed tokens, can put it there."""
    token, name = ostart(r), steered(OWNER)
    r.rename(token, name)
    assert olist(r) == []
    assert oend(r) == 0 and r.exists(name) == 1
    assert sg(r, "TOUCH", name) > 0
    assert olist(r) == [name]
    assert oend(r) == 1 and r.dbsize() == 0


def test_a_copy_of_a_session_is_not_in_the_list_until_it_is_used(r):
    token, name = ostart(r), steered(OWNER)
    r.copy(token, name)
    assert olist(r) == [token]
    expire(r, name, 100)
    assert set(olist(r)) == {token, name}
    assert oend(r) == 2 and r.dbsize() == 0


def test_a_session_in_a_foreign_slot_is_never_the_owners(r):
    token = ostart(r)
    foreign = steered(OTHER_OWNER)
    assert key_slot(foreign) != key_slot(OWNER)
    r.rename(token, foreign)
    for use in (lambda: expire(r, foreign, 100), lambda: sg(r, "TOUCH", foreign)):
        use()
        assert olist(r) == []
    rotated = sg(r, "ROTATE", foreign)
    assert info(r, rotated)["owner"] == OWNER
    assert error_code(oend, r, "KEEP", rotated) == "NOSESSION"
    assert oend(r) == 0 and r.exists(rotated) == 1


def test_a_v1_token_is_never_the_owners(r):
    token = ostart(r)
    r.rename(token, signed())
    expire(r, signed(), 100)
    assert error_code(oend, r, "KEEP", signed()) == "NOSESSION"
    assert olist(r) == [] and oend(r) == 0
    assert info(r, signed())["owner"] == OWNER


def test_a_list_under_another_label_has_no_sessions(r):
    """Of one slot even: the sessions say whose they are."""
    token = ostart(r, owner=b"{u}1")
    r.copy(b"{u}1", b"{u}2")
    r.copy(b"{u}1", b"elsewhere")
    for label in (b"{u}2", b"elsewhere"):
        assert olist(r, owner=label) == []
        assert error_code(oend, r, "KEEP", token, owner=label) == "NOSESSION"
        assert oend(r, owner=label) == 0
        assert r.exists(label) == 0  # its tokens were all dead
    assert olist(r, owner=b"{u}1") == [token]


def test_a_session_of_the_owner_whose_token_is_in_the_list_of_a_foreign_slot_is_let_be(r):
    """A list and a session that were put there by hand: both say so, but the slot does not."""
    label = b"far away"
    assert key_slot(label) != key_slot(OWNER)
    token, listed = ostart(r), ostart(r, owner=label)
    r.rename(token, listed)
    r.rename(label, OWNER)
    assert info(r, listed)["owner"] == OWNER
    assert olist(r) == []
    assert oend(r) == 0 and r.exists(listed) == 1


def test_a_list_that_is_restored_leads_to_the_sessions_that_live(r):
    tokens = several(r, 3)
    dump = r.dump(OWNER)
    end(r, tokens[1])
    later = ostart(r)
    r.restore(OWNER, 100_000, dump, replace=True)
    assert olist(r) == [tokens[0], tokens[2]]
    sg(r, "TOUCH", later)
    expire(r, later, 61)
    assert olist(r) == [tokens[0], tokens[2], later]
    r.delete(tokens[0])
    assert oend(r) == 2


# OLIST -------------------------------------------------------------------------------------------

def test_olist_answers_the_oldest_start_first_whatever_the_lists_order(r):
    first, second, third = several(r, 3)
    when = [info(r, token)["created"] for token in (first, second, third)]
    assert olist(r) == [first, second, third]
    # By hand the list comes into another order; the starts stay.
    wait_for(lambda: info(r, start(r))["created"] > when[2], 5, "a later time")
    last = ostart(r)
    r.delete(OWNER)
    for token in (last, second, third, first):
        expire(r, token, 100)
    expected = sorted((last, second, third, first), key=lambda token: info(r, token)["created"])
    assert olist(r) == expected and expected[-1] == last


def test_olist_leaves_out_what_ended_expired_or_was_deleted(r):
    tokens = several(r, 5)
    end(r, tokens[0])
    expire(r, tokens[1], 0)
    r.unlink(tokens[2])
    r.pexpire(tokens[3], 1)
    wait_for(lambda: not r.exists(tokens[3]), what="the session over")
    assert olist(r) == [tokens[4]]


def test_olist_changes_nothing(server, r):
    tokens = several(r, 3)
    r.unlink(tokens[0])
    before = server.sessions()
    assert olist(r) == tokens[1:]
    assert server.sessions() == before


def test_an_owner_without_sessions_is_an_empty_list_and_0_ended(r):
    assert olist(r) == [] and oend(r) == 0
    assert r.dbsize() == 0


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_answers_are_the_same_in_resp2_and_resp3(server, r, protocol):
    with server.wire(protocol) as wire:
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == []
        one, two = (wire.call("SESSIONGATE.OSTART", KEY, OWNER, 60) for _ in range(2))
        assert isinstance(one, bytes) and is_v2(one)
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == [one, two]
        about = wire.call("SESSIONGATE.INFO", KEY, one)
        assert (about if protocol == 3 else pairs(about))[b"owner"] == OWNER
        about = wire.call("SESSIONGATE.INFO", KEY, start(r))
        assert (about if protocol == 3 else pairs(about))[b"owner"] is None
        assert wire.call("SESSIONGATE.OEND", KEY, OWNER, "KEEP", two) == 1
        assert wire.call("SESSIONGATE.OEND", KEY, OWNER) == 1


def test_a_wrong_number_of_arguments_is_refused(r):
    token = ostart(r)
    for command, *words in (("OSTART",), ("OSTART", OWNER), ("OSTART", OWNER, 60, "LIMIT"),
                            ("OLIST",), ("OLIST", OWNER, b"x"), ("OEND",),
                            ("OEND", OWNER, "KEEP"), ("OEND", OWNER, "KEEP", token, b"x"),
                            ("OEND", OWNER, "KEPT", token)):
        assert error_code(sg, r, command, *words) == "ERR", (command, words)
    assert olist(r) == [token]


# Applications ------------------------------------------------------------------------------------

def test_applications_with_one_label_see_and_end_their_own_sessions_only(r):
    mine, theirs = several(r, 2), several(r, 3, sign_key=OTHER_KEY)
    assert olist(r) == mine and olist(r, sign_key=OTHER_KEY) == theirs
    assert oend(r, sign_key=b"a third one's") == 0
    new = ostart(r, 60, "LIMIT", 1)
    assert olist(r) == [new] and olist(r, sign_key=OTHER_KEY) == theirs
    assert oend(r, "KEEP", theirs[1], sign_key=OTHER_KEY) == 2
    assert oend(r) == 1
    assert olist(r) == [] and olist(r, sign_key=OTHER_KEY) == [theirs[1]]


def test_a_session_that_is_rotated_to_a_new_sign_key_goes_over_to_that_application(r):
    token = ostart(r)
    new = sg(r, "ROTATE", token, "NEWKEY", OTHER_KEY, "GRACE", 60)
    assert olist(r) == [] and olist(r, sign_key=OTHER_KEY) == [new]
    assert oend(r) == 0 and oend(r, sign_key=OTHER_KEY) == 1


# LIMIT -------------------------------------------------------------------------------------------

def test_limit_ends_the_oldest_until_so_many_are_left(r):
    tokens = several(r, 5)
    new = ostart(r, 60, "LIMIT", 3)
    assert olist(r) == [*tokens[3:], new]
    assert all(error_code(sg, r, "TTL", token) == "NOSESSION" for token in tokens[:3])
    assert olist(r) == [*tokens[3:], new]
    newest = ostart(r, 60, "PAYLOADS", 1, b"n", b"d", "LIMIT", 1)
    assert olist(r) == [newest] and pget(r, newest, b"n") == b"d"
    assert set(r.keys()) == {OWNER, newest}


def test_limit_ends_nobody_where_there_is_room(r):
    tokens = several(r, 2)
    assert olist(r) == tokens
    tokens.append(ostart(r, 60, "LIMIT", 3))
    assert olist(r) == tokens


def test_limit_counts_neither_dead_tokens_nor_other_applications(r):
    tokens, theirs = several(r, 4), several(r, 4, sign_key=OTHER_KEY)
    r.unlink(tokens[0], tokens[3])
    new = ostart(r, 60, "LIMIT", 3)
    assert olist(r) == [tokens[1], tokens[2], new]
    assert olist(r, sign_key=OTHER_KEY) == theirs


def test_limit_ends_by_time_of_start_and_not_by_last_use(r):
    tokens = several(r, 3)
    rotated = sg(r, "ROTATE", tokens[0], "TTL", 1000, "GRACE", 60)
    sg(r, "TOUCH", rotated)
    expire(r, rotated, 500)
    new = ostart(r, 60, "LIMIT", 3)
    assert olist(r) == [*tokens[1:], new]
    assert error_code(sg, r, "TTL", tokens[0]) == "NOSESSION"


def test_sessions_that_start_in_one_millisecond_are_in_the_order_of_the_list(server, r):
    """Among so many that start one behind the other some do."""
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.OSTART", KEY, OWNER, 60)] * 900)
        created = [info(r, token)["created"] for token in tokens]
        assert len(set(created)) < len(created)
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == tokens
        new = wire.call("SESSIONGATE.OSTART", KEY, OWNER, 60, "LIMIT", 450)
        assert wire.call("SESSIONGATE.OLIST", KEY, OWNER) == [*tokens[451:], new]


# max-owner-sessions ------------------------------------------------------------------------------

@pytest.fixture
def few(r):
    r.config_set("sessiongate.max-owner-sessions", 3)


def test_an_owner_has_at_most_as_many_sessions_as_the_parameter_says(server, r, few):
    tokens = several(r, 2)
    theirs = several(r, 1, sign_key=OTHER_KEY)
    before = server.sessions()
    for sign_key in (KEY, OTHER_KEY, b"a third one's"):
        with pytest.raises(Exception) as refused:
            ostart(r, sign_key=sign_key)
        assert refused.value.text == "ERR an owner has at most 3 sessions"
    assert server.sessions() == before
    assert is_v2(ostart(r, owner=OTHER_OWNER))
    end(r, tokens[0])
    new = ostart(r)
    assert olist(r) == [tokens[1], new] and olist(r, sign_key=OTHER_KEY) == theirs


def test_limit_makes_room_where_the_owner_is_full(r, few):
    tokens = several(r, 3)
    assert error_code(ostart, r, 60, "LIMIT", 4) == "ERR"
    assert olist(r) == tokens
    new = ostart(r, 60, "LIMIT", 3)
    assert olist(r) == [*tokens[1:], new]


def test_limit_cannot_make_room_where_others_fill_the_owner(server, r, few):
    several(r, 3, sign_key=OTHER_KEY)
    before = server.sessions()
    assert error_code(ostart, r, 60, "LIMIT", 1) == "ERR"
    assert server.sessions() == before


def test_dead_tokens_take_no_room(r, few):
    for _ in range(10):
        r.unlink(*several(r, 3))
    tokens = several(r, 3)
    assert olist(r) == tokens


def test_healing_may_exceed_the_parameter(r, few):
    tokens = several(r, 3)
    r.config_set("sessiongate.max-owner-sessions", 1)
    assert error_code(ostart, r) == "ERR"
    r.delete(OWNER)
    for token in tokens:
        expire(r, token, 100)
    assert set(olist(r)) == set(tokens)
    assert error_code(ostart, r) == "ERR"
    new = ostart(r, 60, "LIMIT", 1)
    assert olist(r) == [new]


def test_a_start_that_stores_nothing_takes_no_room(r, few):
    tokens = several(r, 3)
    assert is_v2(ostart(r, 0))
    assert olist(r) == tokens


# OEND --------------------------------------------------------------------------------------------

def test_oend_ends_all_sessions_and_what_is_left_is_nothing(r):
    tokens = several(r, 5)
    assert oend(r) == 5
    assert r.dbsize() == 0
    assert {error_code(sg, r, "TTL", token) for token in tokens} == {"NOSESSION"}
    assert oend(r) == 0


def test_oend_counts_living_sessions_only(r):
    tokens = several(r, 4)
    r.unlink(tokens[1])
    end(r, tokens[2])
    assert oend(r) == 2


def test_oend_keeps_one(r):
    tokens = several(r, 4)
    pset(r, tokens[2], b"n", b"d")
    assert oend(r, "KEEP", tokens[2]) == 3
    assert olist(r) == [tokens[2]] and pget(r, tokens[2], b"n") == b"d"
    assert oend(r, "keep", tokens[2]) == 0
    assert set(r.keys()) == {OWNER, tokens[2]}


def test_oend_keeps_the_session_that_a_rotated_token_leads_to(r):
    tokens = several(r, 3)
    new = sg(r, "ROTATE", tokens[0], "GRACE", 60)
    newer = sg(r, "ROTATE", new, "GRACE", 60)
    assert oend(r, "KEEP", tokens[0]) == 2
    assert olist(r) == [newer] and sg(r, "TTL", tokens[0]) > 0
    assert oend(r, "KEEP", new) == 0
    assert oend(r) == 1
    assert error_code(sg, r, "TTL", tokens[0]) == "NOSESSION"


def test_oend_puts_the_session_that_it_keeps_back_into_the_list(r):
    tokens = several(r, 3)
    r.delete(OWNER)
    assert oend(r, "KEEP", tokens[1]) == 0
    assert olist(r) == [tokens[1]] and r.exists(*tokens) == 3
    assert r.pttl(OWNER) >= r.pttl(tokens[1])
    copied = steered(OWNER)
    r.copy(tokens[0], copied)
    assert oend(r, "KEEP", copied) == 1
    assert olist(r) == [copied]


def test_a_keep_that_leads_to_no_session_of_the_owner_ends_nothing(server, r):
    several(r, 3)
    ended, foreign = ostart(r), ostart(r, owner=OTHER_OWNER)
    end(r, ended)
    one_slot = ostart(r, owner=b"{owner:42}x")
    assert key_slot(one_slot) == key_slot(OWNER)
    theirs, nobodys = ostart(r, sign_key=OTHER_KEY), sg(r, "START", 60, "FORMAT", "v2")
    gone = sg(r, "ROTATE", ostart(r), "GRACE", 60)
    alias = next(key for key in r.keys() if r.type(key) == b"sgrotated")
    end(r, gone)
    in_slot = steered(OWNER)
    sg(r, "ADOPT", in_slot, 60)
    text = steered(OWNER, id=b"zzzzzzzzzzzzzzzzzzzzzz")
    r.set(text, "x")
    before = server.sessions()
    for kept, code in ((b"", "ERR"), (b"x", "BADTOKEN"), (ended[:-1], "BADTOKEN"),
                       (b"x" * 61, "BADTOKEN"), (b"x" * 84, "BADTOKEN"),
                       (theirs, "BADSIGNATURE"), (signed_v2(OTHER_KEY), "BADSIGNATURE"),
                       (signed(OTHER_KEY), "BADSIGNATURE"), (ended, "NOSESSION"),
                       (foreign, "NOSESSION"), (one_slot, "NOSESSION"), (nobodys, "NOSESSION"),
                       (start(r, KEY, 0), "NOSESSION"), (alias, "NOSESSION"),
                       (in_slot, "NOSESSION"), (text, "WRONGTYPE")):
        assert error_code(oend, r, "KEEP", kept) == code, (kept, code)
    assert server.sessions() == before


def test_a_session_of_the_owner_in_a_foreign_slot_cannot_be_kept(r):
    token, other = several(r, 2)
    r.rename(token, steered(OTHER_OWNER))
    assert error_code(oend, r, "KEEP", steered(OTHER_OWNER)) == "NOSESSION"
    assert olist(r) == [other]


def test_the_grace_of_a_session_that_is_ended_leads_to_nothing(r):
    tokens = several(r, 2)
    new = sg(r, "ROTATE", tokens[0], "GRACE", 60)
    assert oend(r, "KEEP", tokens[1]) == 1
    for token in (tokens[0], new):
        assert error_code(sg, r, "TTL", token) == "NOSESSION"


# Foreign keys ------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["string", "hash", "session", "rotated"])
def test_a_foreign_key_of_the_label_is_a_wrong_type_and_sessions_go_on_without_a_list(r, kind):
    token, other = several(r, 2)
    r.delete(OWNER)
    if kind == "string":
        r.set(OWNER, "x")
    elif kind == "hash":
        r.hset(OWNER, "f", "v")
    else:
        session = start(r)
        if kind == "rotated":
            sg(r, "ROTATE", session, "GRACE", 60)
        r.rename(session, OWNER)
    before = r.dump(OWNER)
    for call in (ostart, olist, oend):
        assert error_code(call, r) == "WRONGTYPE"
    assert error_code(oend, r, "KEEP", token) == "WRONGTYPE"
    assert expire(r, token, 100) == b"OK" and sg(r, "TTL", token) == 100
    r.pexpire(token, 5000)
    assert sg(r, "TOUCH", token) == 100
    new = sg(r, "ROTATE", token, "GRACE", 60)
    assert end(r, token) == b"OK" and end(r, other) == b"OK"
    assert error_code(sg, r, "TTL", new) == "NOSESSION"
    assert r.dump(OWNER) == before


@pytest.mark.parametrize("command", [("LPUSH", "x"), ("HSET", "f", "v"), ("GET",)])
def test_the_servers_commands_find_an_owner_to_be_of_a_wrong_type(r, command):
    token = ostart(r)
    assert r.type(OWNER) == b"sgownedby"
    assert error_code(r.execute_command, command[0], OWNER, *command[1:]) == "WRONGTYPE"
    assert olist(r) == [token]


def test_an_owner_is_no_session(r):
    """Also when its label has the form of a token."""
    label = signed_v2(id=b"l" * 22)
    ostart(r, owner=label)
    for command, *words in (("TTL",), ("PGETALL",), ("INFO",), ("END",), ("EXPIRE", 9),
                            ("TOUCH",), ("ROTATE",), ("ADOPT", 60), ("PSET", b"n", b"d")):
        assert error_code(sg, r, command, label, *words) == "WRONGTYPE", command
    assert len(olist(r, owner=label)) == 1


# ROTATE ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [(), ("GRACE", 60), ("TTL", 10), ("MAXTTL", 30),
                                     ("NEWKEY", KEY, "GRACE", 60)], ids=str)
def test_a_rotated_session_keeps_its_place(r, options):
    tokens = several(r, 4)
    r.execute_command("DEBUG", "RELOAD")
    for place in (1, 0, 3):
        tokens[place] = sg(r, "ROTATE", tokens[place], *options)
        assert olist(r) == tokens
        assert key_slot(tokens[place]) == key_slot(OWNER)
    assert oend(r) == 4


def test_a_cut_through_a_rotated_token_keeps_the_place_too(r):
    tokens = several(r, 3)
    old = tokens[1]
    first = sg(r, "ROTATE", old, "GRACE", 60)
    sg(r, "ROTATE", first, "GRACE", 60)
    tokens[1] = sg(r, "ROTATE", old)
    assert olist(r) == tokens
    assert set(r.keys()) == {OWNER, *tokens}


def test_a_session_is_ended_through_a_rotated_token(r):
    tokens = several(r, 3)
    sg(r, "ROTATE", tokens[1], "GRACE", 60)
    assert end(r, tokens[1]) == b"OK"
    assert olist(r) == [tokens[0], tokens[2]]
    assert set(r.keys()) == {OWNER, tokens[0], tokens[2]}


# Transactions and scripts ------------------------------------------------------------------------

def test_the_commands_work_in_a_transaction(r):
    with r.pipeline(transaction=True) as transaction:
        for _ in range(3):
            ostart(transaction)
        olist(transaction)
        ostart(transaction, 60, "LIMIT", 2)
        olist(transaction)
        oend(transaction)
        olist(transaction)
        first, second, third, listed, fourth, then, ended, nobody = transaction.execute()
    assert listed == [first, second, third] and then == [third, fourth]
    assert (ended, nobody) == (2, []) and r.dbsize() == 0


def test_the_commands_work_in_a_script(r):
    script = """
        local tokens = {}
        for i = 1, 3 do
            tokens[i] = redis.call('SESSIONGATE.OSTART', ARGV[1], KEYS[1], 60)
        end
        local listed = redis.call('SESSIONGATE.OLIST', ARGV[1], KEYS[1])
        local ended = redis.call('SESSIONGATE.OEND', ARGV[1], KEYS[1], 'KEEP', tokens[2])
        return {tokens, listed, ended, redis.call('SESSIONGATE.OLIST', ARGV[1], KEYS[1])}"""
    tokens, listed, ended, left = r.eval(script, 1, OWNER, KEY)
    assert listed == tokens and ended == 2 and left == [tokens[1]] == olist(r)


def test_olist_is_for_scripts_that_only_read(r):
    token = ostart(r)
    call = "return redis.call('SESSIONGATE.{}', ARGV[1], KEYS[1])"
    assert r.execute_command("EVAL_RO", call.format("OLIST"), 1, OWNER, KEY) == [token]
    assert error_code(r.execute_command, "EVAL_RO", call.format("OEND"), 1, OWNER, KEY)
    assert olist(r) == [token]


def test_a_refused_call_in_a_transaction_leaves_the_others(server, r):
    with server.wire() as wire:
        wire.call("MULTI")
        wire.call("SESSIONGATE.OSTART", KEY, OWNER, 60)
        wire.call("SESSIONGATE.OEND", KEY, OWNER, "KEEP", b"x")
        wire.call("SESSIONGATE.OLIST", KEY, OWNER)
        token, refused, listed = wire.call("EXEC")
    assert isinstance(refused, Wire.Error) and refused.code == "BADTOKEN"
    assert listed == [token]
