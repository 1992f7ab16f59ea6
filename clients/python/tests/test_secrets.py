"""No sign key, and no token, in any error, log line, repr, cause or traceback."""

import asyncio
import base64
import logging
import socket
import traceback

import pytest

import sessiongate.asyncio
from sessiongate import (
    BadArgument,
    BadPayload,
    BusyToken,
    LockTimeout,
    NoPayload,
    NoSession,
    NotLoaded,
    WrongType,
)

SECRET = b"Unique-Sign-Key-7f3a9c51d2e8b640"
PAYLOAD = b"Unique-Payload-4471"


def spellings(secret):
    return [
        secret.decode(),
        secret.hex(),
        base64.b64encode(secret).decode().rstrip("="),
        ", ".join(map(str, secret)),
    ]


def shown(error, seen=None):
    """All that can be read off an error: its texts, its attributes, the variables of the frames of its
    traceback that are not these tests', and the same of what it was raised from."""
    seen = set() if seen is None else seen
    if error is None or id(error) in seen:
        return ""
    seen.add(id(error))
    texts = [str(error), repr(error), repr(error.args), repr(vars(error))]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "/tests/" not in frame.f_code.co_filename and "/lib/python" not in frame.f_code.co_filename:
            texts += [repr(frame.f_locals), deep(frame.f_locals)]
        if "/redis/" in frame.f_code.co_filename or "/valkey/" in frame.f_code.co_filename:
            texts += [f"a frame of the driver: {SECRET.decode()}"]
    texts.extend(traceback.TracebackException.from_exception(error).format())
    return "\n".join([*texts, shown(error.__cause__, seen), shown(error.__context__, seen)])


def deep(value, depth=4):
    if type(value) in (bytes, bytearray):
        return value.decode("latin-1")
    if depth and isinstance(value, dict):
        return "".join(deep(each, depth - 1) for each in value.values())
    if depth and isinstance(value, (list, tuple, set)):
        return "".join(deep(each, depth - 1) for each in value)
    return repr(value)


def assert_hidden(error, token, caplog):
    for text in (shown(error), caplog.text, *[repr(record.__dict__) for record in caplog.records]):
        for secret in spellings(SECRET):
            assert secret not in text
    for text in (str(error), repr(error), caplog.text):
        assert token not in text
        assert PAYLOAD.decode() not in text


@pytest.fixture(autouse=True)
def everything_is_logged(caplog):
    caplog.set_level(logging.DEBUG)


def hold_lock(session, wait=0):
    with session.lock("cart", 5, wait=wait):
        session["n"] = 1


def each_call(token):
    """Calls of each kind: by one command, by a batch, by each way that arguments are made."""
    return {
        "one command": lambda gate: gate.pset(token, "n", PAYLOAD),
        "a batch": lambda gate: gate.session(token).get("a"),
        "several payloads": lambda gate: gate.pmset(token, {"n": PAYLOAD, "m": PAYLOAD}),
        "a start": lambda gate: gate.start(payloads={"n": PAYLOAD}),
        "a condition": lambda gate: gate.pset(token, "n", PAYLOAD, if_equal=PAYLOAD * 2, ex=9),
        "a deletion": lambda gate: gate.pdel(token, "n", if_equal=PAYLOAD),
        "a payload's life": lambda gate: gate.pttl(token, "n"),
        "a lock": lambda gate: hold_lock(gate.session(token)),
        "a rotation": lambda gate: gate.rotate(token),
        "an owner": lambda gate: gate.oend("o", keep=token),
    }.values()


def test_a_server_without_the_module(make_servers, gates_of, caplog):
    gate = gates_of(make_servers("--no-module"))([SECRET])
    token = gate.mint()
    for call in each_call(token):
        with pytest.raises(NotLoaded) as raised:
            call(gate)
        assert_hidden(raised.value, token, caplog)


def test_a_server_that_is_gone(make_servers, gates_of, driver, caplog):
    servers = make_servers()
    gates = gates_of(servers)
    gate = gates([SECRET], options=gates.no_retries)
    token = gate.start()
    servers("kill 0")
    for call in each_call(token):
        with pytest.raises(driver.errors.ConnectionError) as raised:
            call(gate)
        assert type(raised.value).__module__.startswith(driver.name)
        assert_hidden(raised.value, token, caplog)


def test_a_server_that_does_not_answer_in_time(make_servers, gates_of, driver, caplog):
    servers = make_servers()
    gates = gates_of(servers)
    gate = gates([SECRET], options={"socket_timeout": 0.2, **gates.no_retries})
    token = gate.start()
    servers("pause 0")
    for call in each_call(token):
        with pytest.raises(driver.errors.TimeoutError) as raised:
            call(gate)
        assert_hidden(raised.value, token, caplog)
    servers("resume 0")


def test_what_the_server_refuses(gates, server, caplog):
    gate = gates([SECRET], options={"socket_timeout": 5})
    token = gate.start(payloads={"a": b"1"})
    admin = server.admin()
    states = {
        "OutOfMemoryError": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        "ReadOnlyError": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    }
    for state, (enter, leave) in states.items():
        admin.execute_command(*enter)
        raised = []
        try:
            for call in each_call(token):
                try:
                    call(gate)
                except Exception as error:
                    raised.append(type(error).__name__)
                    assert_hidden(error, token, caplog)
        finally:
            admin.execute_command(*leave)
        assert state in raised


def test_a_user_who_may_not(gates, server, driver, caplog):
    admin = server.admin()
    admin.execute_command(
        "ACL", "SETUSER", "poor", "on", ">p", "allkeys", "+@all", "-@all", "+ping", "+hello"
    )
    try:
        gate = gates([SECRET], options={"username": "poor", "password": "p", "protocol": 2})
        token = gate.mint()
        for call in each_call(token):
            with pytest.raises((driver.errors.NoPermissionError, NotLoaded)) as raised:
                call(gate)
            assert_hidden(raised.value, token, caplog)
    finally:
        admin.execute_command("ACL", "DELUSER", "poor")


def test_our_own_errors(gates, server, caplog):
    gate = gates([b"older", SECRET])
    token = gates([SECRET]).start(payloads={"n": PAYLOAD})
    other = gate.mint()
    server.admin().set(other, "x")
    locked = gates([SECRET]).start(payloads={"\0lock:cart": b"another's"})
    for kind, call in (
        (NoPayload, lambda: gate.pget(token, "m")),
        (BusyToken, lambda: gate.adopt(token)),
        (BadArgument, lambda: gate.pset(token, "n" * 300, PAYLOAD)),
        (BadArgument, lambda: gate.pset(token, "n", PAYLOAD, nx=True, if_equal=PAYLOAD)),
        (BadArgument, lambda: gate.pset(token, "n", PAYLOAD, px=0)),
        (BadArgument, lambda: gate.pdel(token, "n", if_equal=b"")),
        (NoPayload, lambda: gate.pttl(token, "m")),
        (LockTimeout, lambda: hold_lock(gate.session(locked))),
        (TypeError, lambda: gate.pset(token, "n", PAYLOAD, ex="x")),
        (WrongType, lambda: gate.pget(other, "n")),
        (BadPayload, lambda: gate.session(token)["n"]),
        (NoSession, lambda: gate.rotate(gates([SECRET]).mint())),
        (TypeError, lambda: gate.pset(token, 3, PAYLOAD)),
        (TypeError, lambda: gate.expire(token, "x")),
    ):
        with pytest.raises(kind) as raised:
            call()
        assert_hidden(raised.value, token, caplog)


def test_an_error_raised_while_another_is_handled_has_that_one_alone(gate):
    try:
        raise LookupError("the application's own")
    except LookupError:
        with pytest.raises(NoSession) as raised:
            gate.ttl(gate.mint())
    assert isinstance(raised.value.__context__, LookupError)
    assert raised.value.__context__.__context__ is None


def test_a_cancelled_call(make_servers, driver, caplog):
    servers = make_servers()

    async def cancel():
        client = driver.AsyncSingle(port=servers.port)
        gate = sessiongate.asyncio.Gate(client, [SECRET])
        token = await gate.start()
        servers("pause 0")
        for call in (gate.pget(token, "n"), gate.session(token)):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0.05)  # it has been sent
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await task
            assert_hidden(raised.value, token, caplog)
        servers("resume 0")
        await client.aclose()

    asyncio.run(cancel())


def test_a_lock_that_is_cancelled(make_servers, driver, caplog):
    servers = make_servers()

    async def cancel():
        client = driver.AsyncSingle(port=servers.port)
        gate = sessiongate.asyncio.Gate(client, [SECRET])
        token = await gate.start()
        session = await gate.session(token)

        async def hold():
            async with session.lock("cart", 60):
                pass

        servers("pause 0")
        task = asyncio.ensure_future(hold())
        for _ in range(2):  # as it asks for the lock, and as it releases it
            await asyncio.sleep(0.05)
            task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert_hidden(raised.value, token, caplog)
        servers("resume 0")
        await asyncio.gather(*sessiongate.asyncio._releases)
        assert await gate.pgetall(token) == {}
        await client.aclose()

    asyncio.run(cancel())


def test_an_answer_that_is_no_protocol(driver, caplog):
    """A port where something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = driver.Single(port=port, socket_timeout=0.3, protocol=2, **driver.no_retries("blocking"))
        gate = sessiongate.Gate(client, [SECRET])
        token = gate.mint()
        with pytest.raises(driver.errors.RedisError if driver.name == "redis" else Exception) as raised:
            gate.pget(token, "n")
        assert_hidden(raised.value, token, caplog)
        client.close()


def test_a_part_of_a_sign_key_shows_nothing(gates):
    """rich, for one, cuts what it shows of long bytes."""
    key = gates([SECRET * 4])._commands.keyring.keys[0]
    for part in (key[:80], key[80:], key[::2], key[:80] + b"...", key[:80][:40]):
        assert repr(part) == "<sign key>"
    assert bytes(key[:4]) == SECRET[:4]
    assert key[0] == SECRET[0]


def test_a_gate_and_its_parts_show_no_sign_key(gates):
    gate = gates([SECRET, b"older"])
    commands = gate._commands
    texts = [repr(gate), str(gate), repr(vars(commands)), repr(vars(commands.keyring)), repr(commands)]
    texts.append(repr(gate.session()))
    assert not any(secret in text for text in texts for secret in spellings(SECRET))
