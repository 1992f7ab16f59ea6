"""A method a command: arguments, replies, errors, on a blocking and on an asyncio client."""

import inspect
from datetime import datetime, timedelta, timezone

import pytest
from support import KEY, OLD_KEY, wait_for

from sessiongate import (
    BadArgument,
    BadSignature,
    BadToken,
    BusyToken,
    Gate,
    NoPayload,
    NoSession,
    WrongType,
)
from sessiongate.asyncio import Gate as AsyncGate


def test_a_client_of_the_other_kind_is_refused(gates, driver):
    other = driver.AsyncSingle() if gates.kind == "blocking" else driver.Single()
    with pytest.raises(BadArgument, match="client is for the Gate of sessiongate"):
        gates(client=other)


@pytest.fixture
def token(gate):
    return gate.start(payloads={"n": b"d"})


def test_a_session_from_its_start_to_its_end(gate):
    token = gate.start(payloads={"user": b"Ada", b"\xff": b"\x00\x01"})
    assert gate.verify(token) == (0, "v2")
    assert gate.pget(token, "user") == b"Ada"
    assert gate.pget(token, b"\xff") == b"\x00\x01"
    assert gate.pset(token, "user", b"Grace") is True
    assert gate.pmset(token, {"lang": b"en", "ä": b"\xc3"}) is None
    assert gate.pmget(token, ["user", "cart", b"lang"]) == [b"Grace", None, b"en"]
    everything = {b"user": b"Grace", b"\xff": b"\x00\x01", b"lang": b"en", "ä".encode(): b"\xc3"}
    assert gate.pgetall(token) == everything
    assert gate.pdel(token, "lang") is True
    assert gate.ppop(token, "ä") == b"\xc3"
    assert gate.ttl(token) == 1800
    assert gate.expire(token, 100) is None
    assert gate.ttl(token) == 100
    assert gate.touch(token) == 100
    assert gate.touch(token, min_age=10) == 100
    new = gate.rotate(token)
    assert gate.pget(new, "user") == b"Grace"
    assert gate.end(new) is None
    with pytest.raises(NoSession):
        gate.pget(new, "user")


def test_pset_says_whether_its_condition_held(gate, token):
    assert gate.pset(token, "n", b"x", nx=True) is False
    assert gate.pset(token, "m", b"x", xx=True) is False
    assert gate.pset(token, "m", b"x", nx=True) is True
    assert gate.pset(token, "n", b"y", xx=True) is True
    assert gate.pset(token, "n", b"z", if_equal=b"x") is False
    assert gate.pset(token, "absent", b"z", if_equal=b"x") is False
    assert gate.pset(token, "n", b"z", if_equal=b"y") is True
    assert gate.pgetall(token) == {b"n": b"z", b"m": b"x"}


def test_conditions_compare_bytes(gate, token):
    every = bytes(range(256))
    gate.pset(token, "n", every)
    for other in (every[:-1], every + b"\0", every[::-1], b"\0", every.replace(b"\xff", b"\xfe")):
        assert gate.pset(token, "n", b"x", if_equal=other) is False
        assert gate.pdel(token, "n", if_equal=other) is False
    assert gate.pset(token, "n", every * 2, if_equal=every) is True
    assert gate.pdel(token, "n", if_equal=every * 2) is True
    assert gate.pdel(token, "n", if_equal=every * 2) is False
    with pytest.raises(NoPayload):
        gate.pget(token, "n")


def test_a_payload_may_live_shorter_than_its_session(gate, token):
    assert gate.pttl(token, "n") == -1
    assert gate.pset(token, "n", b"x", ex=100) is True
    assert 90_000 < gate.pttl(token, "n") <= 100_000
    assert gate.pset(token, "n", b"y", if_equal=b"x", px=50_000) is True
    assert 40_000 < gate.pttl(token, "n") <= 50_000
    assert gate.pset(token, "n", b"z") is True
    assert gate.pttl(token, "n") == -1
    gate.pset(token, "code", b"417", nx=True, px=30)
    wait_for(lambda: b"code" not in gate.pgetall(token), what="the end of the payload")
    for method in (gate.pttl, gate.pget, gate.pdel, gate.ppop):
        with pytest.raises(NoPayload):
            method(token, "code")
    assert gate.pdel(token, "code", if_equal=b"417") is False
    assert gate.pset(token, "code", b"x", xx=True) is False
    assert gate.pset(token, "code", b"418", nx=True) is True


@pytest.mark.parametrize(
    "options",
    [
        {"nx": True, "xx": True},
        {"nx": True, "if_equal": b"d"},
        {"xx": True, "if_equal": b""},
        {"ex": 1, "px": 1000},
        {"ex": 0, "px": 0},
    ],
)
def test_options_that_exclude_each_other_cost_no_round_trip(gate, server, token, options):
    with server.trips() as made, pytest.raises(BadArgument, match="one at most"):
        gate.pset(token, "n", b"x", **options)
    assert made.count == 0


def test_info_has_units_of_python(gate):
    token = gate.start(ttl=100, max_ttl=1000, payloads={"n": b"data"})
    info = gate.info(token)
    assert abs(datetime.now(timezone.utc) - info.created) < timedelta(seconds=30)
    assert 90 < info.ttl <= 100
    assert info.idle == 100
    assert info.deadline - info.created == timedelta(seconds=1000)
    assert (info.payloads, info.size, info.owner) == (1, 5, None)
    assert gate.info(gate.start()).deadline is None


def test_a_session_that_does_not_expire_has_no_ttl(gate, server, token):
    server.admin().persist(token)
    assert gate.ttl(token) == -1
    assert gate.info(token).ttl is None


def test_the_gates_policy_is_that_of_its_sessions_unless_told_otherwise(gates):
    gate = gates(ttl=50, max_ttl=500)
    for token in (gate.start(), gate.mint()):
        if gate.verify(token) and not exists(gate, token):
            gate.adopt(token)
        info = gate.info(token)
        assert info.idle == 50
        assert info.deadline - info.created == timedelta(seconds=500)
    info = gate.info(gate.start(ttl=20, max_ttl=30))
    assert (info.idle, info.deadline - info.created) == (20, timedelta(seconds=30))


def exists(gate, token):
    try:
        gate.ttl(token)
    except NoSession:
        return False
    return True


def test_the_form_of_new_tokens_can_be_told(gates):
    gate = gates(token_format="v1")
    assert gate.verify(gate.start()).form == gate.verify(gate.mint()).form == "v1"
    assert gates().verify(gates().start()).form == "v2"


def test_adopt_takes_a_minted_token_once(gate):
    token = gate.mint()
    gate.adopt(token, ttl=60, payloads={"n": b"d"})
    assert gate.pget(token, "n") == b"d"
    with pytest.raises(BusyToken):
        gate.adopt(token)


def test_rotate_with_grace_leads_to_the_session_and_takes_its_options(gate, token):
    new = gate.rotate(token, grace=30, ttl=77, max_ttl=700)
    assert gate.pget(token, "n") == gate.pget(new, "n") == b"d"
    assert gate.info(new).idle == 77
    assert gate.info(new).deadline is not None
    newest = gate.rotate(new)
    for old in (token, new):
        with pytest.raises(NoSession):
            gate.pget(old, "n")
    assert gate.pget(newest, "n") == b"d"


ON_A_TOKEN = {
    "adopt": (),
    "end": (),
    "pset": ("n", b"d"),
    "pmset": ({"n": b"d"},),
    "pget": ("n",),
    "pmget": (["n"],),
    "pgetall": (),
    "pdel": ("n",),
    "ppop": ("n",),
    "pttl": ("n",),
    "ttl": (),
    "info": (),
    "expire": (5,),
    "touch": (),
    "rotate": (),
}


@pytest.mark.parametrize("method", ON_A_TOKEN)
def test_a_token_that_does_not_verify_costs_no_round_trip(gates, server, method):
    gate = gates([KEY, OLD_KEY])
    forged = gates([b"another"]).mint()
    before = server.calls()
    with server.trips() as made:
        with pytest.raises(BadSignature):
            getattr(gate, method)(forged, *ON_A_TOKEN[method])
        for malformed in ("", "session", forged[:-1], forged + "\n", None, forged.encode()):
            with pytest.raises(BadToken):
                getattr(gate, method)(malformed, *ON_A_TOKEN[method])
    assert made.count == 0
    assert server.calls() == before


@pytest.mark.parametrize("method", [method for method in ON_A_TOKEN if method != "adopt"])
def test_every_method_on_a_session_that_is_none_raises_no_session(gate, method):
    with pytest.raises(NoSession):
        getattr(gate, method)(gate.mint(), *ON_A_TOKEN[method])


@pytest.mark.parametrize("method", ON_A_TOKEN)
def test_every_method_on_a_key_of_another_type_raises_wrong_type(gate, server, method):
    token = gate.mint()
    server.admin().set(token, "x")
    with pytest.raises(WrongType):
        getattr(gate, method)(token, *ON_A_TOKEN[method])
    assert server.admin().get(token) == b"x"


@pytest.mark.parametrize("method", ["pget", "pdel", "ppop", "pttl"])
def test_a_payload_that_is_not_there_raises_no_payload(gate, token, method):
    with pytest.raises(NoPayload):
        getattr(gate, method)(token, "absent")


@pytest.mark.parametrize(
    "call",
    [
        lambda gate, token: gate.start(ttl=-1),
        lambda gate, token: gate.start(max_ttl=0),
        lambda gate, token: gate.expire(token, -1),
        lambda gate, token: gate.touch(token, min_age=-1),
        lambda gate, token: gate.rotate(token, grace=301),
        lambda gate, token: gate.rotate(token, ttl=0),
        lambda gate, token: gate.pset(token, "", b"d"),
        lambda gate, token: gate.pset(token, "n" * 201, b"d"),
        lambda gate, token: gate.pset(token, "n", b""),
        lambda gate, token: gate.pset(token, "n", b"d", nx=True, xx=True),
        lambda gate, token: gate.pset(token, "n", b"x", if_equal=b""),
        lambda gate, token: gate.pdel(token, "n", if_equal=b""),
        lambda gate, token: gate.pset(token, "n", b"x", ex=0),
        lambda gate, token: gate.pset(token, "n", b"x", px=-1),
        lambda gate, token: gate.pmset(token, {}),
    ],
)
def test_a_wrong_argument_raises_bad_argument_and_changes_nothing(gate, token, call):
    before = gate.pgetall(token)
    with pytest.raises(BadArgument) as raised:
        call(gate, token)
    assert str(raised.value)
    assert token not in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert gate.pgetall(token) == before
    assert gate.ttl(token) == 1800


@pytest.mark.parametrize(
    "call",
    [
        lambda gate, token: gate.start(ttl=1.5),
        lambda gate, token: gate.expire(token, "60"),
        lambda gate, token: gate.pset(token, 3, b"d"),
        lambda gate, token: gate.pset(token, "n", b"x", ex=1.5),
    ],
)
def test_an_argument_of_another_type_raises_type_error(gate, token, call):
    with pytest.raises(TypeError):
        call(gate, token)
    assert gate.pgetall(token) == {b"n": b"d"}


def test_tokens_of_older_sign_keys_go_on_and_move_to_the_newest_with_the_next_rotation(gates):
    old = gates([OLD_KEY])
    token = old.start(payloads={"n": b"d"})
    both = gates([KEY, OLD_KEY])
    assert both.verify(token).position == 1
    assert both.pget(token, "n") == b"d"
    new = both.rotate(token)
    assert both.verify(new).position == 0
    assert gates([KEY]).pget(new, "n") == b"d"
    with pytest.raises(BadSignature):
        old.pget(new, "n")


def test_a_client_that_decodes_its_replies_serves_as_well(gates):
    gate = gates(options={"decode_responses": True})
    token = gate.start(payloads={b"\xff": b"\xfe"})
    assert gate.pgetall(token) == {b"\xff": b"\xfe"}
    assert gate.pmget(token, [b"\xff", "x"]) == [b"\xfe", None]
    assert gate.info(token).payloads == 1
    assert gate.verify(gate.rotate(token))
    session = gate.session()
    session["a"] = "ä"
    session.save()
    assert gate.session(session.token)["a"] == "ä"


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_of_the_server_serve(gates, protocol):
    gate = gates(options={"protocol": protocol})
    token = gate.start(payloads={"__proto__": b"d", "constructor": b"e"})
    assert gate.pgetall(token) == {b"__proto__": b"d", b"constructor": b"e"}
    assert gate.info(token).payloads == 2
    assert dict(gate.session(gate.start(payloads={"n": b"1"}))) == {"n": 1}


def test_each_command_is_one_round_trip(gate, server, token):
    for method, arguments in ON_A_TOKEN.items():
        token = gate.mint() if method == "adopt" else gate.start(payloads={"n": b"d"})
        with server.trips() as made:
            getattr(gate, method)(token, *arguments)
        assert (method, made.count) == (method, 1)


def test_both_gates_have_the_same_methods_documented_once():
    for name, method in vars(Gate).items():
        if name.startswith("_"):
            continue
        other = getattr(AsyncGate, name)
        assert (method.__doc__ and method.__doc__ == other.__doc__) or name == "session"
        if name != "session":
            assert inspect.signature(method) == inspect.signature(other)
            assert "Plan" not in str(inspect.signature(method))
