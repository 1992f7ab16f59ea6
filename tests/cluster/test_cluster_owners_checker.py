"""The checker of the load on owners: it finds each kind of fault, and passes what is right."""

import pytest

from cluster import ask
from harness import KEY
from load import FOREIGN, OVERDUE, RISEN
from owners import MISSED, MIXED, OUTLIVED, Owner, OwnerReader, OwnersLoad, Session, broken

NOW = 1_000_000.0


def session(token, over=(NOW + 100, NOW + 101)):
    return Session(token, 100, over)


A, B, C = session(b"a"), session(b"b"), session(b"c")


def owner(*states, sure=None):
    """An owner that has had these states, of which that one and all before it are sure."""
    made = Owner(b"label")
    made.states = list(states)
    made.sure = len(states) - 1 if sure is None else sure
    return made


def verdict(owner, *answer, at=NOW, sure=None):
    return broken(owner, owner.sure if sure is None else sure, at, at + 0.01, list(answer))


def test_the_list_of_what_is_sure_is_right_and_each_other_is_wrong():
    made = owner((), (A,), (A, B))
    assert verdict(made, b"a", b"b") is None
    assert verdict(made, b"a") == verdict(made, b"b") == verdict(made) == MISSED
    assert verdict(made, b"b", b"a") == MIXED
    assert verdict(made, b"a", b"b", b"c") == FOREIGN


def test_each_state_is_right_while_the_last_is_not_sure_and_no_mixture_of_them():
    made = owner((A, B), (B, C), sure=0)
    assert verdict(made, b"a", b"b") is verdict(made, b"b", b"c") is None
    assert verdict(made, b"b") == verdict(made, b"a", b"b", b"c") == MIXED
    assert verdict(made, b"a") == MISSED


def test_a_change_that_became_sure_during_the_question_may_be_missed_by_it():
    made = owner((A,), (A, B))
    assert verdict(made, b"a", sure=0) is None


def test_a_token_that_is_not_known_yet_is_any_in_its_place():
    made = owner((A, B), (A, B, session(None)), sure=0)
    assert verdict(made, b"a", b"b") is verdict(made, b"a", b"b", b"new") is None
    assert verdict(made, b"a", b"new", b"b") is not None
    rotated = owner((A, B), (session(None), B), sure=0)
    assert verdict(rotated, b"new", b"b") is verdict(rotated, b"a", b"b") is None
    assert verdict(rotated, b"b") == MIXED


def test_a_token_that_was_ended_is_found():
    made = owner((A, B), (B,))
    made.ended = [b"a"]
    assert verdict(made, b"b") is None
    assert verdict(made, b"a", b"b") == RISEN


def test_a_session_is_listed_until_it_is_over_and_not_longer():
    made = owner((session(b"a", (NOW + 5, NOW + 6)), B))
    assert verdict(made, b"b", at=NOW + 4) == MISSED
    assert verdict(made, b"b", at=NOW + 5.5) is verdict(made, b"a", b"b", at=NOW + 5.5) is None
    assert verdict(made, b"a", b"b", at=NOW + 7) == OVERDUE


@pytest.fixture
def rested(cluster):
    """(load, reader, an owner of some sessions that last, the master that has it)"""
    with OwnersLoad(cluster.ports(), "checker") as load:
        load.wait_writes(300)
    load.assert_right()
    reader = OwnerReader(load, "checker")
    made = next(each for each in load.owners
                if len(each.state) > 1 and all(map(Session.lasts, each.state)))
    yield load, reader, made, cluster.owner(made.label)
    reader.close()


def test_a_session_deleted_behind_the_back_of_the_load_is_found(rested):
    load, reader, made, master = rested
    reader.check(made)
    load.assert_right()
    assert ask(master, "UNLINK", made.state[0].token) == 1
    reader.check(made)
    assert len(load.broken[MISSED]) == 1


def test_a_session_brought_back_behind_the_back_of_the_load_is_found(rested):
    load, reader, made, master = rested
    token = made.state[0].token
    dump = ask(master, "DUMP", token)
    assert ask(master, "SESSIONGATE.OEND", KEY, made.label) == len(made.state)
    reader.check_ended(token)
    load.assert_right()
    assert ask(master, "RESTORE", token, 60_000, dump) == "OK"
    reader.check_ended(token)
    assert len(load.broken[RISEN]) == 1


def test_a_list_that_will_end_before_its_sessions_is_found(rested):
    load, reader, made, master = rested
    reader.check_lives(made)
    load.assert_right()
    assert ask(master, "PEXPIRE", made.label, 1000) == 1
    reader.check_lives(made)
    assert len(load.broken[OUTLIVED]) == 1
