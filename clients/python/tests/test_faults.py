"""A server that is stopped, killed, replaced or fails over, and a driver that sends again."""

import socket
import threading

import pytest
from support import KEY, wait_for

from sessiongate import Gate, NoSession


@pytest.mark.parametrize("how", ["stop 0", "kill 0"])
def test_a_server_that_is_gone_and_comes_back_serves_the_same_gate(make_servers, gates_of, driver, how):
    servers = make_servers("--config", "appendonly=yes", "appendfsync=always")
    gates = gates_of(servers)
    gate = gates(options=gates.no_retries)
    session = gate.session()
    session["a"] = 1
    session.save()
    servers(how)
    session["a"] = 2
    with pytest.raises(driver.errors.ConnectionError):
        session.save()
    with pytest.raises(driver.errors.ConnectionError):
        gate.session(session.token)["a"]
    servers("start 0")
    session.save()
    assert dict(gate.session(session.token)) == {"a": 2}


def test_a_session_that_could_not_be_loaded_is_not_taken_for_a_new_one(make_servers, gates_of, driver):
    servers = make_servers("--config", "appendonly=yes", "appendfsync=always")
    gates = gates_of(servers)
    gate = gates(options=gates.no_retries)
    token = gate.start(payloads={"a": b"1"})
    servers("kill 0")
    if gates.kind == "blocking":
        session = gate.session(token)
        for _ in range(2):
            with pytest.raises(driver.errors.ConnectionError):
                session["a"]
        with pytest.raises(driver.errors.ConnectionError):
            session["a"] = 2
        servers("start 0")
        assert session["a"] == 1
    else:
        with pytest.raises(driver.errors.ConnectionError):
            gate.session(token)
        servers("start 0")
        assert gate.session(token)["a"] == 1


def test_a_replaced_server_that_lacks_the_session_answers_with_a_new_one(make_servers, gates_of):
    servers = make_servers()
    gates = gates_of(servers)
    gate = gates()
    session = gate.session()
    session["a"] = 1
    session.save()
    servers("kill 0")
    servers("start 0")  # without a file: it comes back empty
    gates.run(gates.clients[0].connection_pool.disconnect())  # older drivers do not see that it is gone
    assert gate.session(session.token).is_new
    session["a"] = 2
    with pytest.raises(NoSession):
        session.save()
    assert servers.admin().dbsize() == 0


def test_after_a_failover_the_promoted_replica_has_the_sessions(make_servers, gates_of):
    servers = make_servers("--replicas", "1")
    gates = gates_of(servers)
    gate = gates()
    session = gate.session()
    session["a"] = 1
    session.save()
    wait_for(lambda: servers.admin(1).dbsize() == 1, what="the session at the replica")
    servers("kill 0")
    servers.admin(1).execute_command("REPLICAOF", "NO", "ONE")
    servers.port = servers.ports[1]
    gate = gates()
    late = gate.session(session.token)
    late["a"] = 2
    late.save()
    assert dict(gate.session(session.token)) == {"a": 2}


def test_a_replica_answers_reads_and_loads_and_refuses_writes_by_the_drivers_error(
    make_servers, gates_of, driver
):
    servers = make_servers("--replicas", "1")
    gates = gates_of(servers)
    token = gates(refresh=0).start(payloads={"a": b"1"})
    wait_for(lambda: servers.admin(1).dbsize() == 1, what="the session at the replica")
    servers.port = servers.ports[1]
    gate = gates(refresh=0)
    assert gate.pget(token, "a") == b"1"
    session = gate.session(token)  # its refresh is refused
    assert session["a"] == 1
    session["a"] = 2
    with pytest.raises(driver.errors.ReadOnlyError):
        session.save()


class LosesReplies:
    """A proxy before a server that carries commands out and, when told to, loses the next reply, or the
    next command."""

    def __init__(self, port):
        self.target = port
        self.lose = None  # a part of the command whose reply is lost
        self.drop = None  # a part of the command that does not arrive
        self.lost = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            while command := client.recv(1 << 20):
                if self.drop and self.drop in command:
                    self.drop = None
                    return
                server.sendall(command)
                reply = server.recv(1 << 20)
                if self.lose and self.lose in command:
                    self.lose = None
                    self.lost += 1
                    return
                client.sendall(reply)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def lossy(server):
    proxy = LosesReplies(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def resending(driver, lossy):
    """A Gate whose driver sends again what it got no reply to, once."""
    retry = driver.module.retry.Retry(driver.module.backoff.NoBackoff(), 1)
    errors = [driver.errors.ConnectionError, driver.errors.TimeoutError]
    client = driver.Single(port=lossy.port, retry=retry, retry_on_error=errors)
    client.ping()
    yield Gate(client, [KEY])
    client.close()


def test_a_new_session_whose_reply_was_lost_is_stored_once(resending, lossy, server):
    session = resending.session()
    session["a"] = 1
    lossy.lose = b"ADOPT"
    session.save()
    assert lossy.lost == 1
    assert server.calls()["adopt"] >= 2
    assert server.admin().dbsize() == 1
    assert dict(resending.session(session.token)) == {"a": 1}


def test_an_end_whose_reply_was_lost_has_ended_the_session(resending, lossy, server):
    session = resending.session(resending.start())
    assert not session.is_new
    lossy.lose = b"END"
    session.end()
    assert lossy.lost == 1
    assert server.admin().dbsize() == 0


def test_a_rotation_whose_reply_was_lost_says_no_session(resending, lossy):
    """As the README says of a driver that sends again: the new token is lost, the old one dead."""
    session = resending.session(resending.start())
    assert not session.is_new
    lossy.lose = b"ROTATE"
    with pytest.raises(NoSession):
        session.rotate()
    assert lossy.lost == 1


def test_a_save_and_a_load_whose_replies_were_lost_are_carried_out(resending, lossy):
    token = resending.start(payloads={"a": b"1"})
    session = resending.session(token)
    lossy.lose = b"PGETALL"
    assert session["a"] == 1
    session["a"] = 2
    del_too = resending.session(token)
    lossy.lose = b"PMSET"
    session.save()
    assert lossy.lost == 2
    del del_too["a"]
    lossy.lose = b"PDEL"
    del_too.save()
    assert lossy.lost == 3
    assert resending.pgetall(token) == {}


def test_a_lock_whose_reply_was_lost_is_had_by_who_asked(resending, lossy):
    token = resending.start(payloads={"n": b"0"})
    session = resending.session(token)
    assert session["n"] == 0
    lossy.lose = b"PSET"
    with session.lock("cart", 60, wait=0):
        assert lossy.lost == 1
        session["n"] += 1
        lossy.lose = b"PDEL"
        resending.pset(token, "other", b"2")
    assert lossy.lost == 2
    assert resending.pgetall(token) == {b"n": b"1", b"other": b"2"}


def test_a_condition_whose_reply_was_lost_says_false(resending, lossy):
    """As the README says of a driver that sends again: it was set, and the second found it so."""
    token = resending.start(payloads={"n": b"0"})
    lossy.lose = b"PSET"
    assert resending.pset(token, "n", b"1", if_equal=b"0") is False
    lossy.lose = b"PDEL"
    assert resending.pdel(token, "n", if_equal=b"1") is False
    assert lossy.lost == 2
    assert resending.pgetall(token) == {}


@pytest.fixture
def losing(driver, lossy):
    """A Gate whose driver sends nothing again."""
    client = driver.Single(port=lossy.port, **driver.no_retries("blocking"))
    client.ping()
    yield Gate(client, [KEY])
    client.close()


def test_a_first_save_whose_reply_was_lost_is_repeated_without_a_second_session(
    losing, lossy, server, driver
):
    for first, then in (({"a": 1, "b": 1}, {"a": 2, "c": 3}), ({}, {"a": 1}), ({"a": 1}, {})):
        server.flush()
        session = losing.session()
        session.update(first)
        lossy.lose = b"ADOPT"
        with pytest.raises(driver.errors.ConnectionError):
            session.save(even_if_empty=True)
        session.clear()
        session.update(then)
        session.save(even_if_empty=True)
        assert dict(losing.session(session.token)) == then
        assert server.admin().dbsize() == 1


def test_what_a_login_could_not_end_is_ended_by_the_next_save_or_login(losing, lossy, server, driver):
    for finish in (
        lambda session: session.save(),
        lambda session: session.login("o"),
        lambda session: session.login("another"),
    ):
        server.flush()
        former = losing.start(payloads={"a": b"1"})
        session = losing.session(former)
        assert session["a"] == 1
        lossy.drop = b"SESSIONGATE.END"
        with pytest.raises(driver.errors.ConnectionError):
            session.login("o")
        assert losing.ttl(former) > 0
        finish(session)
        with pytest.raises(NoSession):
            losing.ttl(former)
        assert server.admin().dbsize() <= 2  # the session, and the list of its owner


def test_a_lock_that_was_set_and_whose_reply_was_lost_is_released(losing, lossy, driver):
    token = losing.start()
    session = losing.session(token)
    assert not session.is_new
    lossy.lose = b"PSET"
    with pytest.raises(driver.errors.ConnectionError), session.lock("cart", 60):
        pytest.fail("it was told that the connection is lost")
    assert lossy.lost == 1
    assert losing.pgetall(token) == {}


def test_a_login_that_fails_halfway_leaves_no_payload_that_lives_longer_than_it_did(losing, lossy, driver):
    token = losing.start()
    losing.pset(token, "code", b"417", ex=100)
    session = losing.session(token)
    assert session["code"] == 417
    lossy.drop = b"SESSIONGATE.PSET"
    with pytest.raises(driver.errors.ConnectionError):
        session.login("o")
    assert [losing.pgetall(each) for each in losing.olist("o")] == [{}]
    assert session.token == token
    assert 0 < losing.pttl(token, "code") <= 100_000
    session.login("o")
    assert 0 < losing.pttl(session.token, "code") <= 100_000


def test_a_driver_that_does_not_send_again_says_that_the_reply_was_lost(losing, lossy, driver):
    for lose, method in ((b"ROTATE", losing.rotate), (b"END", losing.end)):
        token = losing.start()
        lossy.lose = lose
        with pytest.raises(driver.errors.ConnectionError):
            method(token)
    assert lossy.lost == 2
