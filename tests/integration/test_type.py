"""A session as a key: it behaves under the server's own commands as a core type does."""

import time

import pytest

from features import defragment, pairs, sg
from harness import (KEY, Stream, end, error_code, expire, pdel, pget, pset, signed, start,
                     wait_for)

OTHER_KEY = b"another application's sign key"


@pytest.fixture
def token(r):
    """A session with three payloads, one of them large, and a life of 1000 s."""
    token = start(r, KEY, 1000)
    pset(r, token, b"a", b"data of a")
    pset(r, token, b"nul\0name", b"\0\r\n")
    pset(r, token, b"large", b"x" * 1_000_000)
    return token


def is_whole(r, token):
    return (pget(r, token, b"a"), pget(r, token, b"nul\0name"), pget(r, token, b"large")) == (
        b"data of a", b"\0\r\n", b"x" * 1_000_000)


def digest(r, token):
    return r.execute_command("DEBUG", "DIGEST-VALUE", token)[0]


# Looking at it -----------------------------------------------------------------------------------

def test_the_type_has_a_name_and_scan_finds_it(r, token):
    r.set("string", "x")
    r.lpush("list", "x")
    others = {start(r) for _ in range(100)}
    assert r.type(token) == b"sgsession"
    found = list(r.scan_iter(_type="sgsession", count=1000))
    assert len(found) == 101 and set(found) == others | {token}
    assert r.object("ENCODING", token) == b"raw"
    assert r.object("REFCOUNT", token) == 1


def test_memory_usage_counts_payloads(r):
    token = start(r)
    empty = r.memory_usage(token)
    assert 0 < empty < 1000
    pset(r, token, b"n", b"x" * 1_000_000)
    one = r.memory_usage(token)
    assert 1_000_000 <= one - empty < 1_400_000
    for n in range(9):
        pset(r, token, b"n%d" % n, b"x" * 1_000_000)
    assert 9_000_000 <= r.memory_usage(token) - one < 12_000_000
    for n in range(9):
        pdel(r, token, b"n%d" % n)
    pdel(r, token, b"n")
    assert r.memory_usage(token) <= empty + 1000


def test_memory_usage_counts_what_many_small_payloads_cost(server, r):
    token = start(r)
    with server.wire() as wire:
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"%d" % n, b"x") for n in range(10_000))
    assert 10_000 * 16 < r.memory_usage(token) < 10_000 * 200


def test_the_digest_tells_contents_apart_and_not_their_order(r):
    one, same = start(r), signed(KEY, b"TheCopyOfSession")
    r.copy(one, same)  # sessions that were started at different times differ in that
    empty = digest(r, one)
    assert digest(r, same) == empty
    pset(r, one, b"a", b"1")
    pset(r, one, b"b", b"2")
    pset(r, same, b"b", b"2")
    pset(r, same, b"a", b"0")
    assert digest(r, one) != digest(r, same)
    pset(r, same, b"a", b"1")
    assert digest(r, one) == digest(r, same) != empty
    pset(r, same, b"c", b"3")
    assert digest(r, one) != digest(r, same)
    pdel(r, same, b"c")
    assert digest(r, one) == digest(r, same)


def test_the_digest_tells_where_the_name_ends(r):
    one, other = start(r), signed(KEY, b"TheCopyOfSession")
    r.copy(one, other)
    pset(r, one, b"ab", b"c")
    pset(r, other, b"a", b"bc")
    assert digest(r, one) != digest(r, other)


# Moving it ---------------------------------------------------------------------------------------

def test_debug_reload_keeps_everything(server, r, token):
    start(r)
    before = server.sessions()
    for _ in range(2):
        r.execute_command("DEBUG", "RELOAD")
        assert server.sessions() == before
    assert is_whole(r, token)


def test_dump_and_restore_keep_contents_and_ttl(server, r, token):
    before = server.sessions()
    expiry = r.execute_command("PEXPIRETIME", token)
    dump = r.dump(token)
    end(r, token)
    r.restore(token, expiry, dump, absttl=True)
    assert server.sessions() == before
    assert is_whole(r, token)
    assert pset(r, token, b"new", b"d") == b"OK"
    assert error_code(r.restore, token, 0, dump) == "BUSYKEY"
    r.restore(token, 500_000, dump, replace=True)
    assert error_code(pget, r, token, b"new") == "NOPAYLOAD"
    assert 499_000 < r.pttl(token) <= 500_000


def test_an_empty_session_can_be_dumped_and_restored(r):
    token = start(r)
    dump = r.dump(token)
    end(r, token)
    r.restore(token, 60_000, dump)
    assert error_code(pget, r, token, b"n") == "NOPAYLOAD"
    assert pset(r, token, b"n", b"d") == b"OK"


def test_a_session_restored_without_ttl_gets_one_by_expire(r, token):
    dump = r.dump(token)
    end(r, token)
    r.restore(token, 0, dump)
    assert r.pttl(token) == -1
    assert is_whole(r, token)
    assert expire(r, token, 60) == b"OK"
    assert 59_000 < r.pttl(token) <= 60_000


@pytest.mark.parametrize("cut", ["half", "one byte", "empty"])
def test_a_damaged_dump_is_refused_and_nothing_is_stored(r, token, cut):
    dump = r.dump(token)
    end(r, token)
    damaged = {"half": dump[:len(dump) // 2], "one byte": dump[:-1], "empty": b""}[cut]
    assert error_code(r.restore, token, 0, damaged) == "ERR"
    assert r.dbsize() == 0


def test_a_copy_is_whole_and_independent(r, token):
    name = signed(KEY, b"TheCopyOfSession")
    assert r.copy(token, name) is True
    assert digest(r, name) == digest(r, token)
    assert r.execute_command("PEXPIRETIME", name) == r.execute_command("PEXPIRETIME", token)
    assert is_whole(r, name)
    pset(r, name, b"a", b"changed")
    pdel(r, name, b"large")
    assert is_whole(r, token)
    end(r, token)
    assert pget(r, name, b"a") == b"changed"


def test_a_copy_of_an_empty_session_is_empty(r):
    token, name = start(r), signed(KEY, b"TheCopyOfSession")
    assert r.copy(token, name) is True
    assert error_code(pget, r, name, b"n") == "NOPAYLOAD"
    pset(r, name, b"n", b"d")
    assert error_code(pget, r, token, b"n") == "NOPAYLOAD"


def test_a_copy_in_another_database_opens_there(server, r, token):
    assert r.copy(token, token, destination_db=3) is True
    assert is_whole(server.client(db=3), token)
    assert is_whole(r, token)


def test_rename_move_and_swapdb_keep_contents_and_ttl(server, r, token):
    three = server.client(db=3)
    expiry = r.execute_command("PEXPIRETIME", token)
    name = signed(KEY, b"TheNewNameOfThis")
    r.rename(token, name)
    assert is_whole(r, name) and error_code(pget, r, token, b"a") == "NOSESSION"
    r.rename(name, token)
    assert r.move(token, 3)
    assert is_whole(three, token) and error_code(pget, r, token, b"a") == "NOSESSION"
    r.swapdb(0, 3)
    assert is_whole(r, token) and error_code(pget, three, token, b"a") == "NOSESSION"
    assert r.execute_command("PEXPIRETIME", token) == expiry


def test_migrate_carries_a_session_to_another_server(make_server, r, token):
    target = make_server()
    expiry = r.execute_command("PEXPIRETIME", token)
    assert r.migrate("127.0.0.1", target.port, token, 0, 5000) == b"OK"
    assert r.exists(token) == 0
    assert is_whole(target.client(), token)
    assert abs(target.client().execute_command("PEXPIRETIME", token) - expiry) < 1000
    assert end(target.client(), token) == b"OK"


def test_a_session_that_is_overwritten_by_another_type_is_gone(r, token):
    r.set(token, "a string")
    assert error_code(pget, r, token, b"a") == "WRONGTYPE"
    r.delete(token)
    assert error_code(pget, r, token, b"a") == "NOSESSION"


# A token opens its own name only -----------------------------------------------------------------

@pytest.mark.parametrize("way", ["rename", "copy"])
def test_a_session_does_not_open_under_a_name_that_is_not_signed(r, token, way):
    """What was remembered as verified for the old name must not open the new one."""
    for name, code in [
            (signed(OTHER_KEY, token[3:19]), "BADSIGNATURE"), (signed(OTHER_KEY), "BADSIGNATURE"),
            (token[:-1] + (b"0" if token[-1:] != b"0" else b"1"), "BADSIGNATURE"),
            (b"v1.BBBBBBBBBBBBBBBB" + token[19:], "BADSIGNATURE"),
            (b"plain", "BADTOKEN"), (b"v1" + b"x" * 82, "BADTOKEN"), (token + b"\0", "BADTOKEN")]:
        assert pget(r, token, b"a") == b"data of a"  # so that the sign key is remembered
        getattr(r, way)(token, name)
        assert r.type(name) == b"sgsession"
        for _ in range(2):
            assert error_code(pget, r, name, b"a") == code
            assert error_code(pset, r, name, b"a", b"x") == code
            assert error_code(end, r, name) == code
        if way == "rename":
            r.rename(name, token)
        assert is_whole(r, token)


def test_a_session_opens_under_the_name_that_its_new_key_signed(r, token):
    name = signed(OTHER_KEY)
    assert pget(r, token, b"a") == b"data of a"
    r.rename(token, name)
    assert error_code(pget, r, name, b"a", KEY) == "BADSIGNATURE"
    assert pget(r, name, b"a", OTHER_KEY) == b"data of a"
    assert error_code(pget, r, name, b"a", KEY) == "BADSIGNATURE"
    r.rename(name, token)
    assert error_code(pget, r, token, b"a", OTHER_KEY) == "BADSIGNATURE"
    assert pget(r, token, b"a", KEY) == b"data of a"


# Expired, and not yet removed --------------------------------------------------------------------

@pytest.fixture
def expired(server, r):
    """A session that is over, which the server has not noticed yet."""
    r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    token = start(r)
    pset(r, token, b"n", b"d")
    r.pexpire(token, 20)
    over = time.time() + 0.021
    wait_for(lambda: time.time() > over, 1, "20 ms passed")
    assert r.dbsize() == 1
    return token


@pytest.mark.parametrize("call", [
    lambda r, token: pget(r, token, b"n"), lambda r, token: pset(r, token, b"n", b"e"),
    lambda r, token: pdel(r, token, b"n"), lambda r, token: expire(r, token, 60),
    lambda r, token: expire(r, token, 0), lambda r, token: end(r, token)],
    ids=["PGET", "PSET", "PDEL", "EXPIRE", "EXPIRE 0", "END"])
def test_an_expired_session_is_gone_before_it_is_removed(server, r, expired, call):
    with Stream(server) as stream:
        stream.commands()
        assert error_code(call, r, expired) == "NOSESSION"
        assert error_code(call, r, expired) == "NOSESSION"
        removals = stream.commands()
    assert len(removals) == 1
    assert removals[0][0].upper() in (b"DEL", b"UNLINK") and removals[0][1] == expired
    assert r.dbsize() == 0


# Who is told of changes --------------------------------------------------------------------------

CHANGES = {
    "PSET": lambda r, token: pset(r, token, b"a", b"new"),
    "PDEL": lambda r, token: pdel(r, token, b"a"),
    "EXPIRE": lambda r, token: expire(r, token, 99),
    "EXPIRE 0": lambda r, token: expire(r, token, 0),
    "END": lambda r, token: end(r, token)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_aborts_a_watching_transaction(server, r, token, change):
    with server.wire() as wire:
        wire.call("WATCH", token)
        assert CHANGES[change](r, token) == b"OK"
        wire.call("MULTI")
        wire.call("PING")
        assert wire.call("EXEC") is None


def test_reading_does_not_abort_a_watching_transaction(server, r, token):
    with server.wire() as wire:
        wire.call("WATCH", token)
        pget(r, token, b"a")
        error_code(pget, r, token, b"absent")
        wire.call("MULTI")
        wire.call("SESSIONGATE.PGET", KEY, token, b"a")
        assert wire.call("EXEC") == [b"data of a"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_invalidates_what_clients_cached(server, r, token, change):
    with server.wire(protocol=3) as wire:
        assert wire.call("CLIENT", "TRACKING", "ON") == "OK"
        assert wire.call("SESSIONGATE.PGET", KEY, token, b"a") == b"data of a"
        assert CHANGES[change](r, token) == b"OK"
        assert wire.read() == [b"invalidate", [token]]


def test_reading_and_refused_calls_invalidate_nothing(server, r, token):
    r.set("marker", "1")
    with server.wire(protocol=3) as wire:
        assert wire.call("CLIENT", "TRACKING", "ON") == "OK"
        assert wire.call("SESSIONGATE.PGET", KEY, token, b"a") == b"data of a"
        wire.call("GET", "marker")
        pget(r, token, b"a")
        error_code(pget, r, token, b"absent")
        error_code(pdel, r, token, b"absent")
        error_code(pset, r, token, b"a", b"x", OTHER_KEY)
        error_code(pset, r, token, b"a", b"")
        error_code(expire, r, token, -1)
        error_code(end, r, token, OTHER_KEY)
        r.set("marker", "2")
        assert wire.read() == [b"invalidate", [b"marker"]]


def test_listeners_hear_of_each_change_with_the_token_and_no_secret(server, r):
    r.config_set("notify-keyspace-events", "EA")
    server.disconnect()
    with server.wire() as wire:
        wire.call("PSUBSCRIBE", "__keyevent@0__:*")
        token = start(r)
        pset(r, token, b"name of payload", b"its data")
        pdel(r, token, b"name of payload")
        expire(r, token, 60)
        end(r, token)
        r.set("marker", "1")
        heard = []
        while not heard or heard[-1][3] != b"marker":
            heard.append(wire.read())
    heard.pop()
    assert len(heard) == 5 and {message[3] for message in heard} == {token}
    told = repr(heard)
    assert "name of payload" not in told and "its data" not in told and repr(KEY) not in told


# Freeing it --------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", [
    "UNLINK", "DEL", "END", "EXPIRE 0", "FLUSHALL ASYNC", "FLUSHDB SYNC", "SET", "expiry"])
def test_freeing_large_sessions_gives_their_memory_back(server, r, way):
    base = used_memory(r)
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 600)] * 20)
        for token in tokens:
            replies = wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"name %d" % n, b"x" * 4000)
                                    for n in range(500))
            assert set(replies) == {"OK"}
    assert used_memory(r) > base + 30_000_000
    if way.startswith("FLUSH"):
        r.execute_command(*way.split())
    for token in tokens:
        if way in ("UNLINK", "DEL"):
            assert r.execute_command(way, token) == 1
        elif way == "END":
            assert end(r, token) == b"OK"
        elif way == "EXPIRE 0":
            assert expire(r, token, 0) == b"OK"
        elif way == "SET":
            r.set(token, "x")
        elif way == "expiry":
            r.pexpire(token, 1)
    wait_for(lambda: used_memory(r) < base + 5_000_000, 10, "the memory is given back")
    assert r.dbsize() == (20 if way == "SET" else 0)


def used_memory(r):
    return r.info("memory")["used_memory"]


def test_active_defragmentation_leaves_sessions_whole(server, r):
    """Small ones, some with a table that is small enough to be moved, a large one, and aliases; of
    the payloads some end, and each does at its time wherever it was moved."""
    if error_code(r.config_set, "activedefrag", "yes"):
        pytest.skip(f"{server.name} is built without active defragmentation")
    r.config_set("activedefrag", "no")
    with server.wire() as wire:
        tokens = wire.pipeline([("SESSIONGATE.START", KEY, 600)] * 20_000)
        large, tabled, rotated = tokens[0], tokens[1:600], set(tokens[600:3000])
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"n%d" % n, token * (n + 1))
                      for token in tokens for n in range(3))
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"many %d" % n, b"x" * 100)
                      for token in tabled for n in range(30))
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"ends %d" % n, b"x" * 100, "EX", 900 - n)
                      for token in tabled for n in range(10))
        wire.pipeline(("SESSIONGATE.PSET", KEY, token, b"ends", b"x", "EX", 900)
                      for token in tokens[::3])
        wire.pipeline(("SESSIONGATE.PSET", KEY, large, b"many %d" % n, b"x" * 100,
                       *(("EX", 40_000 - n) if n % 2 else ())) for n in range(20_000))
        wire.pipeline(("SESSIONGATE.ROTATE", KEY, token, "GRACE", 300) for token in rotated)
        ended = {token for token in tokens if token != large and token[10] % 3}
        wire.pipeline(("DEL", token) if token in rotated else ("SESSIONGATE.END", KEY, token)
                      for token in ended)
        wire.pipeline(("SESSIONGATE.PDEL", KEY, large, b"many %d" % n)
                      for n in range(20_000) if n % 3)
        before = server.sessions()
        assert defragment(r) > 1000
        assert server.sessions() == before
        for token in set(tokens) - ended - {large}:
            assert wire.call("SESSIONGATE.PGET", KEY, token, b"n2") == token * 3
        lives = wire.pipeline(("SESSIONGATE.PTTL", KEY, large, b"many %d" % n)
                              for n in range(3, 20_000, 6))
        assert all(0 < 1000 * (40_000 - n) - left < 120_000
                   for n, left in zip(range(3, 20_000, 6), lives))
        living = [token for token in tabled if token not in ended]
        with_short = [large, *living]
        wire.pipeline([("MULTI",), *[("SESSIONGATE.PSET", KEY, token, b"ends %d" % n, b"x", "PX", 1)
                                     for token in with_short for n in range(10)], ("EXEC",)])
        last = with_short[-1], b"ends 9"
        wait_for(lambda: error_code(sg, r, "PTTL", *last), 10, "they are over")
        wire.pipeline(("SESSIONGATE.TOUCH", KEY, token) for token in with_short)
        counts = [pairs(reply)[b"payloads"] for reply in
                  wire.pipeline(("SESSIONGATE.INFO", KEY, token) for token in with_short)]
        ends = [token in tokens[::3] for token in with_short]
        assert counts[1:] == [33 + one for one in ends[1:]]
