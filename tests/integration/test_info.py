"""INFO sessiongate: each counter counts what the table says, and nothing else."""

import re

import pytest

from features import OTHER_KEY, sg
from harness import KEY, TOP, end, error_code, expire, pdel, pget, pset, signed, start, wait_for
from pages import section

TEXTS = ("version", "build")  # the fields that count nothing


def counters(server):
    """{name without its prefix: value} of the section."""
    return {name.removeprefix("sessiongate_"): value
            for name, value in server.info("sessiongate").items()}


@pytest.fixture
def counted(server):
    """What was counted since the test's start, or the last call: {name: more}, without zeros."""
    before = counters(server)

    def since():
        nonlocal before
        now = counters(server)
        more = {name: now[name] - before[name] for name in now if name not in TEXTS}
        before = now
        return {name: count for name, count in more.items() if count != 0}
    return since


@pytest.fixture
def token(r, counted):
    """A session with the payload n; what was counted until then is over."""
    token = start(r, KEY, 1000)
    pset(r, token, b"n", b"d")
    counted()
    return token


def test_the_section_has_the_version_and_is_shown_where_modules_are(server, r):
    version = re.search(r'VERSION "(.*)"', (TOP / "src" / "server" / "version.h").read_text())[1]
    assert counters(server)["version"] == version
    for section in ("sessiongate", "modules", "everything"):
        assert "sessiongate_sessions_live" in server.info(section)


def test_the_table_lists_the_fields_in_their_order(server):
    table = section("docs/operations.md", "Counters")
    listed = [name for cell in re.findall(r"^\| (`.*?) \|", table, re.M)
              for name in re.findall(r"`(\w+)`", cell)]
    assert listed == list(counters(server))


def test_starts_are_counted(r, counted):
    start(r)
    assert counted() == {"sessions_started": 1, "sessions_live": 1}
    sg(r, "START", 60, "FORMAT", "v2", "PAYLOADS", 2, b"n", b"d", b"m", b"d")
    assert counted() == {"sessions_started": 1, "sessions_live": 1, "payload_writes": 2}
    start(r, KEY, 0)
    error_code(start, r, KEY, -1)
    assert counted() == {}


def test_adoptions_are_counted(r, counted):
    sg(r, "ADOPT", signed(), 60, "PAYLOADS", 1, b"n", b"d")
    assert counted() == {"sessions_adopted": 1, "sessions_live": 1, "payload_writes": 1}
    assert error_code(sg, r, "ADOPT", signed(), 60) == "BUSYTOKEN"
    sg(r, "ADOPT", signed(KEY, b"0123456789abcdef"), 0)
    assert counted() == {}


def test_rotations_are_counted_and_are_no_new_sessions(r, counted, token):
    successor = sg(r, "ROTATE", token, "GRACE", 60)
    assert counted() == {"sessions_rotated": 1}
    assert sg(r, "ROTATE", token, "GRACE", 60) == successor
    assert counted() == {}
    sg(r, "ROTATE", token)
    assert counted() == {"sessions_rotated": 1}


@pytest.mark.parametrize("command", ["END", "EXPIRE 0"])
def test_ends_are_counted(r, counted, token, command):
    command, *ttl = command.split()
    assert sg(r, command, token, *ttl) == b"OK"
    assert counted() == {"sessions_ended": 1, "sessions_live": -1}


def test_an_end_through_a_rotated_token_is_one_end(r, counted, token):
    sg(r, "ROTATE", token, "GRACE", 60)
    counted()
    end(r, token)
    assert counted() == {"sessions_ended": 1, "sessions_live": -1}


@pytest.mark.parametrize("way, more", [("DEL", -1), ("UNLINK", -1), ("FLUSHALL", -1), ("COPY", 1),
                                       ("RENAME", 0), ("DEBUG RELOAD", 0)])
def test_what_the_servers_own_commands_do_shows_in_the_living_sessions_alone(r, counted, token, way,
                                                                              more):
    arguments = {"DEL": [token], "UNLINK": [token], "COPY": [token, signed()],
                 "RENAME": [token, signed()]}.get(way, [])
    r.execute_command(*way.split(), *arguments)
    seen = {}

    def settled():  # a session may be freed in the background
        for name, count in counted().items():
            seen[name] = seen.get(name, 0) + count
        return {name: count for name, count in seen.items() if count} == (
            {"sessions_live": more} if more else {})
    wait_for(settled, what=f"{more} more living sessions and no other count, but {seen}")


def test_refreshes_and_reads_of_times_are_not_counted(r, counted, token):
    expire(r, token, 500)
    sg(r, "TOUCH", token)
    sg(r, "TTL", token)
    sg(r, "INFO", token)
    assert counted() == {}


@pytest.mark.parametrize("call, more", [
    (("PGET", b"n"), {"payload_reads": 1}),
    (("PMGET", b"n", b"absent", b"n", b"missing"), {"payload_reads": 2, "payload_misses": 2}),
    (("PGETALL",), {"payload_reads": 1}),
    (("PPOP", b"n"), {"payload_reads": 1, "payload_writes": 1}),
    (("PSET", b"n", b"x"), {"payload_writes": 1}),
    (("PSET", b"n", b"x", b"XX"), {"payload_writes": 1}),
    (("PSET", b"n", b"x", b"NX"), {}),
    (("PMSET", b"n", b"x", b"m", b"x", b"o", b"x"), {"payload_writes": 3}),
    (("PDEL", b"n"), {"payload_writes": 1}),
], ids=lambda value: str(value[0]) if isinstance(value, tuple) else "")
def test_payloads_are_counted_as_they_are_read_and_written(r, counted, token, call, more):
    sg(r, call[0], token, *call[1:])
    assert counted() == more


def test_all_payloads_of_a_session_are_counted_as_read(r, counted, token):
    for number in range(4):
        pset(r, token, b"name %d" % number, b"d")
    counted()
    sg(r, "PGETALL", token)
    assert counted() == {"payload_reads": 5}


@pytest.mark.parametrize("command", ["PGET", "PDEL", "PPOP"])
def test_an_absent_payload_is_a_miss(r, counted, token, command):
    assert error_code(sg, r, command, token, b"absent") == "NOPAYLOAD"
    assert counted() == {"payload_misses": 1}


CALLS = {"PGET": (b"n",), "PSET": (b"n", b"d"), "END": (), "TTL": (), "ROTATE": (), "PGETALL": ()}


@pytest.mark.parametrize("command", CALLS)
def test_refused_calls_are_counted_by_their_reason(r, counted, token, command):
    calls = [(token[:-1], KEY, "BADTOKEN", "refused_bad_token"),
             (token, OTHER_KEY, "BADSIGNATURE", "refused_bad_signature"),
             (signed(), KEY, "NOSESSION", "refused_no_session")]
    for each, sign_key, code, counter in calls:
        assert error_code(sg, r, command, each, *CALLS[command], sign_key=sign_key) == code
        assert counted() == {counter: 1}


def test_an_adoption_is_refused_by_the_same_reasons(r, counted):
    assert error_code(sg, r, "ADOPT", b"no token", 60) == "BADTOKEN"
    assert counted() == {"refused_bad_token": 1}
    assert error_code(sg, r, "ADOPT", signed(OTHER_KEY), 60) == "BADSIGNATURE"
    assert counted() == {"refused_bad_signature": 1}


def test_other_refusals_are_not_counted(r, counted, token):
    assert error_code(pset, r, token, b"", b"d") == "ERR"
    assert error_code(pget, r, b"", b"n") == "ERR"
    assert error_code(pget, r, token, b"n", b"") == "ERR"
    assert error_code(expire, r, token, "x") == "ERR"
    assert error_code(r.execute_command, "SESSIONGATE.END", KEY) == "ERR"
    r.set(signed(), "a string")
    assert error_code(pdel, r, signed(), b"n") == "WRONGTYPE"
    assert counted() == {}


def test_expired_tokens_are_counted_and_other_keys_are_not(server, r, counted, token):
    if server.valkey and server.program_version < (9,):
        pytest.skip("not counted before Valkey 9, where listening to expiry harms other clients")
    successor = sg(r, "ROTATE", token, "GRACE", 60)
    r.set("another key", "x")
    counted()
    for key in (successor, token, "another key"):
        r.pexpire(key, 1)
    wait_for(lambda: r.dbsize() == 0, what="all keys expired")
    assert counted() == {"tokens_expired": 2, "sessions_live": -1}


def test_evicted_tokens_are_counted_and_other_keys_are_not(r, counted, token):
    sg(r, "ROTATE", token, "GRACE", 60)
    r.set("another key", "x")
    counted()
    r.config_set("maxmemory-policy", "allkeys-random")
    r.config_set("maxmemory", 1)
    wait_for(lambda: r.dbsize() == 0, what="all keys evicted")
    r.config_set("maxmemory", 0)
    assert counted() == {"tokens_evicted": 2, "sessions_live": -1}


def test_a_replica_counts_living_sessions_and_what_its_own_clients_do(server, r, replica_of):
    token = start(r)
    pset(r, token, b"n", b"d")
    replica = replica_of(server)
    start(r)
    sg(r, "ROTATE", token, "GRACE", 60)
    replica.wait_synced()
    texts = {name: counters(server)[name] for name in TEXTS}
    zero = dict.fromkeys(counters(replica), 0)
    assert counters(replica) == {**zero, **texts, "sessions_live": 2}
    assert pget(replica.client(), token, b"n") == b"d"
    assert counters(replica)["payload_reads"] == 1


def test_counters_begin_anew_with_the_server_and_living_sessions_do_not(make_server):
    server = make_server(appendonly="yes", appendfsync="always")
    for _ in range(3):
        start(server.client())
    server.restart()
    assert counters(server)["sessions_started"] == 0
    assert counters(server)["sessions_live"] == 3
    end(server.client(), server.client().randomkey())
    assert counters(server)["sessions_ended"] == 1
    assert counters(server)["sessions_live"] == 2


def test_resetstat_leaves_the_counters(r, counted, token):
    r.config_resetstat()
    assert counted() == {}
