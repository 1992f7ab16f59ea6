"""The command `sessiongate`, as a process of its own."""

import json
import os
import re
import subprocess
import sys

import pytest
from support import KEY, OLD_KEY, TOP

from sessiongate import Gate

SRC = str(TOP / "clients" / "python" / "src")


@pytest.fixture
def gate(driver, server):
    client = driver.Single(port=server.port)
    yield Gate(client, [OLD_KEY])
    client.close()


@pytest.fixture
def run(server, driver, tmp_path):
    """run("show", token): (exit status, what was printed, the same of stderr)."""
    keys = tmp_path / "keys"
    keys.write_bytes(KEY + b"\n" + OLD_KEY + b"\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": SRC,
        "SESSIONGATE_KEYS_FILE": str(keys),
        "SESSIONGATE_URL": f"{driver.name}://127.0.0.1:{server.port}",
    }

    def run(*arguments, stdin="", **changed):
        changed = {**environment, **changed}
        done = subprocess.run(
            [sys.executable, "-m", "sessiongate", *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            env={name: value for name, value in changed.items() if value is not None},
        )
        for said in (done.stdout, done.stderr):
            assert KEY.decode() not in said
            assert OLD_KEY.decode() not in said
        return done.returncode, done.stdout, done.stderr

    return run


def test_keygen_makes_a_key_of_32_random_bytes(run):
    made = {run("keygen")[1] for _ in range(3)}
    assert len(made) == 3
    assert all(len(key.strip()) == 43 for key in made)
    assert len(json.loads(run("keygen", "--json")[1])["sign_key"]) == 43


def test_verify_says_the_form_and_which_key(run, gate):
    token = gate.mint()
    assert run("verify", token) == (0, "v2, signed with sign key 2\n", "")
    assert run("verify", "-", stdin=token + "\n") == (0, "v2, signed with sign key 2\n", "")
    assert json.loads(run("verify", "--json", token)[1]) == {"form": "v2", "sign_key": 2}
    status, said, _ = run("verify", token[:-5] + "zzzzz")
    assert (status, said) == (1, "not signed with any of the sign keys, or no token\n")


def test_sign_keys_come_from_the_environment_too(run, gate):
    keys = {"SESSIONGATE_KEYS_FILE": None, "SESSIONGATE_KEYS": OLD_KEY.decode()}
    assert run("verify", gate.mint(), **keys)[0] == 0
    status, said, error = run("verify", gate.mint(), SESSIONGATE_KEYS_FILE=None)
    assert (status, said) == (2, "")
    assert "no sign key" in error
    assert run("verify", gate.mint(), SESSIONGATE_KEYS_FILE="/no/such/file")[0] == 2


def test_show_tells_names_and_sizes_and_no_data(run, gate):
    token = gate.start(ttl=100, payloads={"user": b"confidential", b"\xff\x1b": b"d"})
    status, said, _ = run("show", token)
    assert status == 0
    assert "user  12 bytes" in said
    assert "\\xff\\x1b  1 bytes" in said
    assert re.search(r"^ttl +\d+ of 100 s$", said, re.MULTILINE)
    assert "confidential" not in said
    assert "\x1b" not in said
    shown = json.loads(run("show", "--json", token)[1])
    assert shown["idle"] == 100
    assert shown["payloads"]["user"] == 12
    gate.end(token)
    status, said, error = run("show", token)
    assert (status, said) == (1, "")
    assert "no such session" in error


def test_a_server_that_is_not_there_is_said_in_a_line(run, gate):
    status, said, error = run("show", gate.mint(), "--url", "redis://127.0.0.1:1")
    assert (status, said) == (2, "")
    assert len(error.splitlines()) == 1


def test_the_sessions_of_an_owner_are_listed_and_ended(run, gate):
    tokens = [gate.ostart("user:1", payloads={"a": b"1"}) for _ in range(2)]
    status, said, _ = run("sessions", "user:1")
    assert status == 0
    assert len(said.splitlines()) == 2
    assert not any(token in said for token in tokens)
    assert len(json.loads(run("sessions", "--json", "user:1")[1])) == 2
    assert run("end-all", "user:1")[:2] == (0, "2 ended\n")
    assert run("sessions", "user:1")[:2] == (1, "no sessions\n")
    assert run("end-all", "user:1")[:2] == (0, "0 ended\n")


def test_names_that_would_move_the_cursor_are_escaped(run, gate):
    gate.ostart("user:1", payloads={"\x1b[2J": b"1"})
    said = run("sessions", "user:1")[1]
    assert "\x1b" not in said
    assert r"\x1b[2J" in said


def test_what_is_wrong_with_the_arguments_or_the_server_is_2(run, gate, make_servers):
    assert run("sessions", "o" * 300)[0] == 2
    bare = make_servers("--no-module")
    status, _, error = run("show", gate.mint(), SESSIONGATE_URL=f"redis://127.0.0.1:{bare.port}")
    assert status == 2
    assert "has not loaded SessionGate" in error
    assert run("show", "nonsense")[0] == run("show", gate.mint())[0] == 1


def test_a_sign_key_with_a_blank_or_a_mark_around_it_is_said(run, gate, tmp_path):
    keys = tmp_path / "edited"
    for text in (b"\xef\xbb\xbf" + OLD_KEY, OLD_KEY + b" ", b"\t" + OLD_KEY):
        keys.write_bytes(KEY + b"\n" + text + b"\r\n")
        status, _, error = run("verify", gate.mint(), SESSIONGATE_KEYS_FILE=str(keys))
        assert status == 1
        assert "sign key 2 begins or ends with a blank or a byte order mark" in error


def test_an_argument_too_many_is_said_without_the_token(run, gate):
    token = gate.mint()
    for line in (("show", "-", token), (token,), ("verify", token, token)):
        status, said, error = run(*line)
        assert status == 2
        assert token not in said + error


def test_a_command_line_that_is_wrong_is_2(run):
    assert run()[0] == run("dance")[0] == run("show")[0] == 2
    assert "usage" in run("--help")[1]
