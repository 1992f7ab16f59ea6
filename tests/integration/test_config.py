"""The parameters: how they are set, what refuses a value, and what a limit does to a session."""

import re

import pytest

from features import info, payloads, sg
from harness import (KEY, LARGEST_TTL, error_code, expire, is_token, pdel, pget, pset, signed,
                     start, wait_for)
from pages import section

# name: default, another value, largest value
NUMBERS = {
    "max-ttl": (LARGEST_TTL, 86_400, LARGEST_TTL),
    "max-payload-name": (200, 1_000, 65_535),
    "max-payload-size": (8_000_000, 1_000, 536_870_912),
    "max-payloads": (16_777_216, 3, 16_777_216),
    "max-owner-sessions": (1_000, 3, 10_000),
}
OTHER = {**{name: str(other) for name, (_, other, _) in NUMBERS.items()}, "token-format": "v2"}
DEFAULT = {**{name: str(default) for name, (default, *_) in NUMBERS.items()}, "token-format": "v1"}


def parameters(server):
    """{name without its prefix: value} of all parameters."""
    return {name.removeprefix("sessiongate."): value
            for name, value in server.client().config_get("sessiongate.*").items()}


def set_parameter(r, name, value):
    return r.execute_command("CONFIG", "SET", "sessiongate." + name, value)


def in_file(values):
    """The same as lines of a configuration file, for make_server."""
    return {"sessiongate." + name.replace("-", "_"): value for name, value in values.items()}


# How they are set --------------------------------------------------------------------------------

def test_the_parameters_have_the_defaults_and_bounds_of_the_table(server):
    assert parameters(server) == DEFAULT
    rows = {name: (limit, most) for limit, name, most in re.findall(
        r"^\| .* \| ([^|]*) \| `([a-z-]+)` \| ([^|]*) \|$",
        section("docs/operations.md", "Limits"), re.M)}
    assert set(rows) == set(DEFAULT)
    for name, (default, _, largest) in NUMBERS.items():
        limit, most = rows[name]
        assert f"{default:,}" in limit and f"{largest:,}" == most, name
    assert rows["token-format"] == ("`v1`", "`v1` or `v2`")


@pytest.mark.parametrize("name", OTHER)
def test_config_set_is_told_by_config_get(server, r, name):
    assert set_parameter(r, name, OTHER[name]) == b"OK"
    assert parameters(server) == {**DEFAULT, name: OTHER[name]}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_least_and_the_largest_value_are_taken(server, r, name):
    for value in (1, NUMBERS[name][2]):
        assert set_parameter(r, name, value) == b"OK"
        assert parameters(server)[name] == str(value)


def restart_as_rewritten(server):
    """Restart it on the file that CONFIG REWRITE leaves, which the harness would write anew."""
    assert server.client().config_rewrite()
    rewritten = server.directory / "rewritten.conf"
    (server.directory / "server.conf").rename(rewritten)
    server.module, server.config = None, {}  # the rewritten file has all of it
    server.restart(include=rewritten)


def test_config_rewrite_keeps_what_was_set(make_server):
    server = make_server()
    for name, value in OTHER.items():
        set_parameter(server.client(), name, value)
    restart_as_rewritten(server)
    assert parameters(server) == OTHER


def test_config_rewrite_keeps_that_a_default_was_set_again(make_server):
    server = make_server(**in_file(OTHER))
    for name, value in DEFAULT.items():
        set_parameter(server.client(), name, value)
    restart_as_rewritten(server)
    assert parameters(server) == DEFAULT


def test_parameters_are_arguments_where_the_module_is_loaded(make_server, module):
    arguments = " ".join(f"{name.upper()} {value}" for name, value in OTHER.items())
    assert parameters(make_server(module=f"{module} {arguments}")) == OTHER


def test_a_line_of_the_file_wins_over_an_argument_and_config_set_over_both(make_server, module):
    arguments = "max-ttl 100 max-payloads 7 token-format v2"
    server = make_server(module=f"{module} {arguments}",
                         **in_file({"max-ttl": 50, "token-format": "v1"}))
    expected = {**DEFAULT, "max-ttl": "50", "max-payloads": "7", "token-format": "v1"}
    assert parameters(server) == expected
    set_parameter(server.client(), "max-ttl", 25)
    set_parameter(server.client(), "max-payloads", 5)
    assert parameters(server) == {**expected, "max-ttl": "25", "max-payloads": "5"}
    server.restart()  # on the file as it was
    assert parameters(server) == expected


def test_a_module_that_is_loaded_later_takes_arguments_and_parameters(make_server, module):
    server = make_server(module=None)
    loaded = server.client().execute_command(
        "MODULE", "LOADEX", str(module), "CONFIG", "sessiongate.max-ttl", 50,
        "ARGS", "max-ttl", 100, "max-payloads", 7)
    assert loaded == b"OK"
    assert parameters(server) == {**DEFAULT, "max-ttl": "50", "max-payloads": "7"}


# What is refused ---------------------------------------------------------------------------------

WRONG = {**{name: ["0", "-1", str(largest + 1), "", "x", "1.5", "1e3", str(2**63), str(2**64)]
            for name, (_, _, largest) in NUMBERS.items()},
         "token-format": ["", "v3", "1", "v1 v2"]}


@pytest.mark.parametrize("name", WRONG)
def test_config_set_refuses_a_wrong_value_and_keeps_the_old_one(server, r, name):
    set_parameter(r, name, OTHER[name])
    for value in WRONG[name]:
        with pytest.raises(Exception) as refused:
            set_parameter(r, name, value)
        assert refused.value.code == "ERR", value
        assert "sessiongate." + name in refused.value.text, value
    assert parameters(server) == {**DEFAULT, name: OTHER[name]}


def test_of_several_parameters_none_is_set_when_one_is_wrong(server, r):
    assert error_code(r.execute_command, "CONFIG", "SET", "sessiongate.max-ttl", 50,
                      "sessiongate.max-payloads", 0) == "ERR"
    assert parameters(server) == DEFAULT


@pytest.mark.parametrize("arguments, sentence", [
    ("max-ttl 0", "max-ttl takes a whole number from 1 to 3153600000"),
    ("max-ttl 3153600001", "max-ttl takes a whole number from 1 to 3153600000"),
    ("max-payload-name x", "max-payload-name takes a whole number from 1 to 65535"),
    ("max-payload-size 512mb", "max-payload-size takes a whole number from 1 to 536870912"),
    ("max-payloads -1", "max-payloads takes a whole number from 1 to 16777216"),
    ("token-format v3", "token-format takes v1 or v2"),
    ("max-tll 50", "there is no argument max-tll"),
    ("max-payloads 5 max-ttl", "arguments are pairs of a name and a value"),
])
def test_a_wrong_argument_ends_the_start_with_a_line_in_the_log(make_server, module, arguments,
                                                                sentence):
    other = make_server(module=f"{module} {arguments}", start=False).start(wait=False)
    wait_for(lambda: not other.alive(), what="the end of the server")
    assert other.process.returncode == 1
    assert f"{sentence}\n" in other.log()
    other.process = None  # it ended as it had to


@pytest.mark.parametrize("name, value, sentence", [
    ("max-ttl", 0, "argument must be between 1 and 3153600000 inclusive"),
    ("max-payloads", "x", "argument couldn't be parsed into an integer"),
    ("token-format", "v3", "argument(s) must be one of the following: v1, v2"),
    ("max-tll", 50, "Module Configuration detected without loadmodule directive"),
])
def test_a_wrong_line_of_the_file_ends_the_start_with_a_line_in_the_log(make_server, name, value,
                                                                        sentence):
    other = make_server(start=False, **in_file({name: value})).start(wait=False)
    wait_for(lambda: not other.alive(), what="the end of the server")
    assert other.process.returncode == 1
    assert sentence in other.log()
    other.process = None


def test_a_wrong_argument_of_a_running_server_is_an_error_and_no_more(make_server, module):
    server = make_server(module=None)
    r = server.client()
    assert error_code(r.execute_command, "MODULE", "LOAD", str(module), "max-ttl", 0) == "ERR"
    assert "the argument max-ttl takes a whole number" in server.log()
    assert error_code(start, r) == "ERR"
    assert r.execute_command("MODULE", "LOAD", str(module), "max-ttl", 50) == b"OK"
    assert parameters(server)["max-ttl"] == "50"


# What a limit does -------------------------------------------------------------------------------

def test_max_ttl_holds_for_every_command_that_takes_a_ttl(r):
    token = start(r, KEY, 50)
    set_parameter(r, "max-ttl", 100)
    for ttl, code in ((100, None), (101, "ERR")):
        assert error_code(start, r, KEY, ttl) == code
        assert error_code(sg, r, "START", 60, "MAXTTL", ttl) == code
        assert error_code(sg, r, "ADOPT", signed(id=b"%016d" % ttl), ttl) == code
        assert error_code(sg, r, "ADOPT", signed(id=b"%015da" % ttl), 60, "MAXTTL", ttl) == code
        assert error_code(expire, r, token, ttl) == code
        assert error_code(sg, r, "TOUCH", token, "MINAGE", ttl) is None
        assert error_code(sg, r, "ROTATE", start(r), "TTL", ttl) == code
        assert error_code(sg, r, "ROTATE", start(r), "MAXTTL", ttl) == code


def test_the_sentence_of_a_refusal_has_the_limit_as_it_is(r):
    token = start(r)
    limits = {"max-ttl": lambda: expire(r, token, 1001),
              "max-payload-name": lambda: pget(r, token, b"n" * 1001),
              "max-payload-size": lambda: pset(r, token, b"n", b"d" * 1001)}
    for name, call in limits.items():
        set_parameter(r, name, 1000)
        with pytest.raises(Exception, match=r"\b1000\b"):
            call()
    set_parameter(r, "max-payloads", 1)
    pset(r, token, b"n", b"d")
    with pytest.raises(Exception, match=r"at most 1 payloads"):
        pset(r, token, b"m", b"d")


@pytest.mark.parametrize("name, largest", [("max-payload-name", (b"n" * 10, b"d")),
                                           ("max-payload-size", (b"n", b"d" * 10))])
def test_sizes_hold_for_every_command_that_stores_payloads(r, name, largest):
    token = start(r)
    set_parameter(r, name, 10)
    over = (largest[0] + b"n", b"d") if name == "max-payload-name" else (b"n", largest[1] + b"d")
    for payload, code in ((largest, None), (over, "ERR")):
        assert error_code(pset, r, token, *payload) == code
        assert error_code(sg, r, "PMSET", token, b"m", b"d", *payload) == code
        assert error_code(sg, r, "START", 60, "PAYLOADS", 1, *payload) == code
        assert error_code(sg, r, "ADOPT", signed(id=b"%016d" % len(b"".join(payload))), 60,
                          "PAYLOADS", 1, *payload) == code


def test_larger_names_and_data_than_the_six_promise_are_taken_when_raised_by_hand(r):
    token = start(r)
    set_parameter(r, "max-payload-name", 65_535)
    set_parameter(r, "max-payload-size", 8_000_001)
    assert pset(r, token, b"n" * 65_535, b"d" * 8_000_001) == b"OK"
    assert len(pget(r, token, b"n" * 65_535)) == 8_000_001
    assert error_code(pset, r, token, b"n", b"d" * 8_000_002) == "ERR"


def test_max_payloads_holds_for_every_command_that_stores_payloads(r):
    set_parameter(r, "max-payloads", 2)
    for count, code in ((2, None), (3, "ERR")):
        some = [word for number in range(count) for word in (b"%d" % number, b"d")]
        token = start(r)
        assert error_code(sg, r, "PMSET", token, *some) == code
        assert error_code(sg, r, "START", 60, "PAYLOADS", count, *some) == code
        assert error_code(sg, r, "ADOPT", signed(id=b"%016d" % count), 60, "PAYLOADS", count,
                          *some) == code
    token = sg(r, "START", 60, "PAYLOADS", 2, b"n", b"d", b"m", b"d")
    assert error_code(pset, r, token, b"o", b"d") == "ERR"


def test_token_format_chooses_what_start_answers(r):
    set_parameter(r, "token-format", "v2")
    assert start(r).startswith(b"v2.")
    assert is_token(sg(r, "START", 60, "FORMAT", "v1"))
    set_parameter(r, "token-format", "v1")
    assert is_token(start(r))


@pytest.fixture
def exceeding(r):
    """A session beyond limits that were lowered since."""
    token = start(r, KEY, 1000)
    for name in (b"one", b"two", b"three"):
        pset(r, token, name, b"d" * 100)
    set_parameter(r, "max-ttl", 60)
    set_parameter(r, "max-payload-size", 10)
    set_parameter(r, "max-payloads", 2)
    return token


def test_a_session_that_exceeds_lowered_limits_is_read_as_before(r, exceeding):
    assert pget(r, exceeding, b"one") == b"d" * 100
    assert set(payloads(r, exceeding)) == {b"one", b"two", b"three"}
    assert info(r, exceeding)["payloads"] == 3
    assert sg(r, "TTL", exceeding) > 60


def test_a_session_that_exceeds_lowered_limits_may_be_changed_and_not_grow(r, exceeding):
    assert pset(r, exceeding, b"one", b"short") == b"OK"
    assert sg(r, "PMSET", exceeding, b"one", b"x", b"two", b"y") == b"OK"
    assert error_code(pset, r, exceeding, b"one", b"d" * 11) == "ERR"
    assert error_code(pset, r, exceeding, b"four", b"d") == "ERR"
    assert error_code(sg, r, "PMSET", exceeding, b"one", b"z", b"four", b"d") == "ERR"
    assert pget(r, exceeding, b"one") == b"x"
    assert pdel(r, exceeding, b"one") == b"OK"
    assert error_code(pset, r, exceeding, b"one", b"d") == "ERR"  # two are the most now
    assert pdel(r, exceeding, b"two") == b"OK"
    assert pset(r, exceeding, b"four", b"d") == b"OK"


def test_a_session_that_exceeds_lowered_limits_is_touched_rotated_copied_and_reloaded(r, exceeding):
    r.pexpire(exceeding, 10_000)
    assert sg(r, "TOUCH", exceeding) == 1000
    token = sg(r, "ROTATE", exceeding)
    copy = signed()
    assert r.execute_command("COPY", token, copy) == 1
    r.execute_command("DEBUG", "RELOAD")
    for each in (token, copy):
        assert set(payloads(r, each)) == {b"one", b"two", b"three"}
        assert 60 < sg(r, "TTL", each) <= 1000


def test_a_name_beyond_a_lowered_limit_is_read_and_deleted_but_not_set(r):
    token = start(r)
    pset(r, token, b"n" * 200, b"d")
    set_parameter(r, "max-payload-name", 10)
    assert error_code(pset, r, token, b"n" * 200, b"e") == "ERR"
    for command in ("PGET", "PMGET", "PDEL"):
        assert error_code(sg, r, command, token, b"n" * 200) is None
    assert payloads(r, token) == {}


def test_a_name_longer_than_promised_is_shown_by_pgetall_alone_once_the_limit_is_lowered(r):
    set_parameter(r, "max-payload-name", 201)
    token = start(r)
    pset(r, token, b"n" * 201, b"d")
    set_parameter(r, "max-payload-name", 10)
    for command in ("PGET", "PMGET", "PDEL", "PPOP"):
        assert error_code(sg, r, command, token, b"n" * 201) == "ERR"
    assert payloads(r, token) == {b"n" * 201: b"d"}


def test_a_replica_takes_what_its_master_allows(server, r, replica_of):
    replica = replica_of(server, **in_file(dict.fromkeys(NUMBERS, 1)))
    token = sg(r, "START", 1000, "PAYLOADS", 2, b"name", b"data", b"other", b"data")
    pset(r, token, b"third", b"data")
    expire(r, token, 2000)
    replica.wait_synced()
    assert replica.sessions() == server.sessions()
