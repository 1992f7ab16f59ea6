"""serve: what it lends works, and nothing of it is left."""

import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

SERVE = pathlib.Path(__file__).with_name("serve")


class Serving:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([SERVE, *arguments], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.said = json.loads(self.process.stdout.readline())
        self.nodes = self.said["nodes"]

    def __call__(self, line):
        print(line, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def ask(self, index, line):
        with socket.create_connection(("127.0.0.1", self.nodes[index]["port"]), 10) as connection:
            connection.sendall(line.encode() + b"\r\n")
            return connection.recv(1000).decode()

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(30)
        self.process.stdout.close()
        assert status == 0


@pytest.fixture
def serve():
    made = []

    def make(*arguments):
        made.append(Serving(*arguments))
        return made[-1]
    yield make
    for serving in made:
        serving.end()


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_server_is_lent_with_the_module_killed_started_again_and_taken_back(serve):
    lent = serve("--config", "maxmemory-policy=noeviction", "appendonly=yes", "appendfsync=always")
    (node,) = lent.nodes
    assert node["host"] == "127.0.0.1" and node["role"] == "master" and not lent.said["valkey"]
    assert lent.ask(0, "SESSIONGATE.START key 60").startswith("$84")
    assert lent("kill 0") == {"ok": True} and not runs(node["pid"])
    again = lent("start 0")
    assert again["ok"] and again["pid"] != node["pid"]
    assert lent.ask(0, "DBSIZE") == ":1\r\n"
    assert lent("stop 0") == {"ok": True} and not runs(again["pid"])
    pid = lent("start 0")["pid"]
    lent.end()
    assert not runs(pid)


def test_a_paused_server_does_not_answer_until_it_is_resumed(serve):
    lent = serve("--no-module")
    assert lent("pause 0") == {"ok": True}
    with socket.create_connection(("127.0.0.1", lent.nodes[0]["port"]), 0.2) as connection:
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(10)
        connection.settimeout(10)
        assert lent("resume 0") == {"ok": True}
        assert connection.recv(10) == b"+PONG\r\n"
    assert lent.ask(0, "SESSIONGATE.START key 60").startswith("-ERR unknown command")


def test_what_cannot_be_done_is_an_error_and_the_next_command_is_heard(serve):
    lent = serve()
    for line in ("kill 1", "kill", "kill 0 0", "dance 0", "_at 0", "start 0", "slot 'a", "kill x"):
        assert list(lent(line)) == ["error"], line
    assert lent("stop 0") == {"ok": True}


def test_a_cluster_moves_a_slot_at_once_and_step_by_step(serve):
    lent = serve("--cluster", "3")
    assert [node["role"] for node in lent.nodes] == ["master"] * 3
    at = lent("slot key")
    slot, source = at["slot"], at["node"]
    target, third = sorted({0, 1, 2} - {source})
    assert lent.ask(source, "SET key value") == "+OK\r\n"
    assert lent(f"importing {slot} {source} {target}") == {"ok": True}
    assert lent.ask(source, "GET key") == "$5\r\nvalue\r\n"
    assert lent(f"movekey key {source} {target}") == {"ok": True}
    assert lent.ask(source, "GET key").startswith(f"-ASK {slot}")
    assert "error" in lent(f"movekey key {source} {target}")
    assert lent(f"settle {slot} {target}") == {"ok": True}
    assert lent.ask(target, "GET key") == "$5\r\nvalue\r\n"
    assert lent("slot key") == {"ok": True, "slot": slot, "node": target}
    assert lent(f"migrate {slot} {target} {third}") == {"ok": True}
    assert lent.ask(third, "GET key") == "$5\r\nvalue\r\n"


def test_sigterm_leaves_nothing(serve):
    lent = serve("--replicas", "1")
    assert [node["role"] for node in lent.nodes] == ["master", "replica"]
    assert "master_link_status:up" in lent.ask(1, "INFO replication")
    lent.process.send_signal(signal.SIGTERM)
    assert lent.process.wait(30) == 0
    assert not any(runs(node["pid"]) for node in lent.nodes)
