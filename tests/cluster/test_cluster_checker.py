"""The checker of the load: it finds each kind of fault, and takes no right answer for one."""

import time

import pytest

from cluster import ask
from harness import KEY, Wire
from load import (FOREIGN, LOST, NAMES, OVERDUE, RISEN, Load, Operation, Reader, Session,
                  State, broken)

NOW = 1_000_000.0
NOSESSION, NOPAYLOAD = Wire.Error("NOSESSION it is gone"), Wire.Error("NOPAYLOAD it is not there")


def session(*operations, sure):
    """A session that was started with a life of 100 s, and what was done to it since."""
    made = Session(b"token", Operation("START", over=(NOW + 100, NOW + 101)), True)
    made.history.extend(operations)
    made.sure = sure
    return made


def verdict(session, answer, at=NOW, name=b"a", sure=None):
    return broken(session, name, session.sure if sure is None else sure, at, at + 0.01, answer)


SET, SET_AGAIN, DELETED = Operation("PSET", b"a"), Operation("PSET", b"a"), Operation("PDEL", b"a")
ENDED = Operation("END")


def test_the_data_set_last_is_right_and_older_data_is_a_lost_write():
    made = session(SET, SET_AGAIN, sure=3)
    assert verdict(made, made.data(2)) is None
    assert verdict(made, made.data(1)) == LOST
    assert verdict(made, NOPAYLOAD) == verdict(made, NOSESSION) == LOST


def test_both_are_right_while_the_last_write_is_not_sure():
    made = session(SET, SET_AGAIN, sure=2)
    assert verdict(made, made.data(1)) is verdict(made, made.data(2)) is None
    assert verdict(made, NOPAYLOAD) == LOST


def test_a_write_that_became_sure_during_the_read_may_be_missed_by_it():
    made = session(SET, sure=2)
    assert verdict(made, NOPAYLOAD, sure=1) is None


def test_a_payload_that_was_deleted_stays_deleted():
    made = session(SET, DELETED, sure=3)
    assert verdict(made, NOPAYLOAD) is None
    assert verdict(made, made.data(1)) == LOST


def test_an_ended_session_that_answers_is_alive_again():
    made = session(SET, ENDED, sure=3)
    assert verdict(made, NOSESSION) is None
    assert verdict(made, made.data(1)) == verdict(made, NOPAYLOAD) == RISEN


def test_a_session_may_answer_or_not_while_its_end_is_not_sure():
    made = session(SET, ENDED, sure=2)
    assert verdict(made, NOSESSION) is verdict(made, made.data(1)) is None


def test_a_session_that_answers_after_its_ttl_is_overdue():
    made = session(SET, sure=2)
    assert verdict(made, NOSESSION, at=NOW + 99) == LOST
    assert verdict(made, NOSESSION, at=NOW + 100.5) is None
    assert verdict(made, made.data(1), at=NOW + 100.5) is None
    assert verdict(made, NOSESSION, at=NOW + 102) is None
    assert verdict(made, made.data(1), at=NOW + 102) == OVERDUE


def test_a_payload_that_answers_after_its_life_is_overdue_and_one_that_is_gone_before_is_lost():
    made = session(Operation("PSET", b"a", over=(NOW + 5, NOW + 6)), sure=2)
    assert verdict(made, NOPAYLOAD, at=NOW + 4) == LOST
    assert verdict(made, made.data(1), at=NOW + 4) is None
    for right in (NOPAYLOAD, made.data(1)):
        assert verdict(made, right, at=NOW + 5.5) is None
    assert verdict(made, NOPAYLOAD, at=NOW + 7) is None
    assert verdict(made, made.data(1), at=NOW + 7) == OVERDUE
    made.history.append(SET_AGAIN)  # without a life, and not sure
    assert verdict(made, made.data(2), at=NOW + 7) is verdict(made, NOPAYLOAD, at=NOW + 7) is None


def test_an_expire_without_an_answer_may_count_or_not():
    made = session(SET, Operation("EXPIRE", over=(NOW + 5, float("inf"))), sure=2)
    assert verdict(made, NOSESSION, at=NOW + 1) == LOST
    assert verdict(made, NOSESSION, at=NOW + 6) is verdict(made, made.data(1), at=NOW + 6) is None


def test_a_payload_of_another_session_or_name_is_foreign():
    made = session(SET, sure=2)
    assert verdict(made, b"other token|a|1|") == verdict(made, b"token|b|1|") == FOREIGN
    assert verdict(made, b"") == FOREIGN


@pytest.fixture
def rested(cluster):
    """(load, reader, cluster): a load that was right, and has stopped."""
    with Load(cluster.ports(), "checker") as load:
        load.wait_writes(300)
    load.assert_right()
    reader = Reader(load, "checker")
    yield load, reader, cluster
    reader.close()


def living(load):
    """(session, name) of a payload that will be there for a while."""
    for session in load.sessions:
        state = State(session.history, len(session.history))
        if state.living and state.over[0] > time.time() + 10 and state.payloads:
            return session, next(iter(state.payloads))


def test_a_session_deleted_behind_the_back_of_the_load_is_found(rested):
    load, reader, cluster = rested
    session, name = living(load)
    assert ask(cluster.owner(session.token), "UNLINK", session.token) == 1
    reader.check(session, name)
    assert len(load.broken[LOST]) == 1


def test_a_session_brought_back_behind_the_back_of_the_load_is_found(rested):
    load, reader, cluster = rested
    session, name = living(load)
    owner = cluster.owner(session.token)
    dump = ask(owner, "DUMP", session.token)
    assert ask(owner, "SESSIONGATE.END", KEY, session.token) == "OK"
    session.history.append(ENDED)
    session.sure = len(session.history)
    reader.check(session, name)
    assert load.broken[RISEN] == []
    assert ask(owner, "RESTORE", session.token, 0, dump) == "OK"
    reader.check(session, NAMES[0])
    assert len(load.broken[RISEN]) == 1
