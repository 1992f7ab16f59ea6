"""Sessions on a cluster of three masters: routing, slots that move, failover."""

import threading
import time

import pytest
from support import KEY, Gates, wait_for

from sessiongate import ClusterDown, Gate, LockTimeout, NoSession, TryAgain, commands, connection


@pytest.fixture(scope="module")
def kept_cluster(lend):
    servers = lend("--cluster", "3")
    yield servers
    servers.close()


@pytest.fixture
def cluster(kept_cluster):
    kept_cluster.flush()
    return kept_cluster


@pytest.fixture(params=["blocking", "asyncio"])
def gates(request, driver, cluster):
    gates = Gates(driver, request.param, cluster)
    yield gates
    gates.close()


@pytest.fixture
def gate(gates):
    return gates()


@pytest.fixture
def pipelines(gates):
    """For tests in which a batch is answered ASK."""
    if gates.kind == "asyncio" and gates.driver.version < (6, 0):
        pytest.skip("asyncio cluster pipelines of this driver do not follow ASK")


def errors(cluster, code):
    """How often the masters have answered that error."""
    stats = [cluster.info("errorstats", node).get(f"errorstat_{code}", {}) for node in range(3)]
    return sum(each.get("count", 0) for each in stats)


def sizes(cluster):
    return [cluster.admin(node).dbsize() for node in range(3)]


def test_start_and_new_sessions_spread_over_the_masters(gate, cluster):
    for _ in range(60):
        gate.start()
    assert all(size >= 5 for size in sizes(cluster))
    cluster.flush()
    for n in range(60):
        session = gate.session()
        session["n"] = n
        session.save()
    assert sum(sizes(cluster)) == 60
    assert all(size >= 5 for size in sizes(cluster))


def test_every_method_finds_the_node_of_its_token(gate, cluster):
    for node in range(3):
        cluster.admin(node).config_resetstat()
    for n in range(60):
        token = gate.start(payloads={"n": b"%d" % n, "m": b"d"})
        gate.pset(token, "o", b"d", nx=True, ex=50)
        assert gate.pttl(token, "o") <= 50_000
        gate.pmset(token, {"p": b"d"})
        assert gate.pget(token, "n") == b"%d" % n
        assert gate.pmget(token, ["n", "x"]) == [b"%d" % n, None]
        assert len(gate.pgetall(token)) == 4
        assert gate.pdel(token, "o", if_equal=b"d")
        assert gate.ppop(token, "p") == b"d"
        gate.expire(token, 100)
        assert gate.ttl(token) == gate.touch(token, min_age=5) == 100
        assert gate.info(token).payloads == 2
        token = gate.rotate(token)
        adopted = gate.mint()
        gate.adopt(adopted)
        session = gate.session(token)
        assert session["n"] == n
        session["n"] = "new"
        del session["m"]
        with session.lock("cart", 5):
            session["locked"] = True
        gate.end(token)
        gate.end(adopted)
    assert sizes(cluster) == [0, 0, 0]
    assert errors(cluster, "MOVED") == 0


def test_a_client_for_an_address_of_a_cluster(driver, cluster):
    client = connection.client(f"{driver.name}://127.0.0.1:{cluster.port}", cluster=True)
    gate = Gate(client, [KEY])
    tokens = [gate.start(payloads={"n": b"d"}) for _ in range(20)]
    assert [gate.pget(token, "n") for token in tokens] == [b"d"] * 20
    client.close()


def moving(cluster, token):
    """The token's slot, where it is, and where it is not."""
    at = cluster(f"slot {token}")
    return at["slot"], at["node"], (at["node"] + 1) % 3


def test_a_slot_that_has_moved_is_found(gate, cluster):
    session = gate.session()
    session["a"] = 1
    session.save()
    slot, source, target = moving(cluster, session.token)
    cluster(f"migrate {slot} {source} {target}")
    session["a"] = 2
    session.save()
    assert gate.session(session.token)["a"] == 2
    session.rotate()
    session.end()
    assert sizes(cluster) == [0, 0, 0]


def test_a_session_that_has_moved_out_of_a_slot_that_moves_is_found(gate, cluster, pipelines):
    session = gate.session()
    session["a"] = 1
    session.save()
    slot, source, target = moving(cluster, session.token)
    cluster(f"importing {slot} {source} {target}")
    assert gate.session(session.token)["a"] == 1
    cluster(f"movekey {session.token} {source} {target}")
    session["a"] = 2
    session["b"] = 2
    session.save()
    del session["b"]
    session["c"] = 3
    session.save()
    assert dict(gate.session(session.token)) == {"a": 2, "c": 3}
    assert gate.pget(session.token, "a") == b"2"
    cluster(f"settle {slot} {target}")
    assert dict(gate.session(session.token)) == {"a": 2, "c": 3}


def test_a_lock_goes_along_with_a_session_that_moves(gate, cluster, pipelines):
    session = gate.session()
    session["a"] = 1
    session.save()
    slot, source, target = moving(cluster, session.token)
    with session.lock("cart", 60):
        cluster(f"importing {slot} {source} {target}")
        cluster(f"movekey {session.token} {source} {target}")
        with pytest.raises(LockTimeout), gate.session(session.token).lock("cart", 60, wait=0):
            pytest.fail("two have the lock")
        session["a"] = 2
    with session.lock("cart", 60, wait=0):
        cluster(f"settle {slot} {target}")
        session["a"] += 1
    assert gate.pgetall(session.token) == {b"a": b"3"}


def test_what_is_answered_tryagain_is_sent_again_until_the_slot_has_moved(gates, cluster):
    gate = gates()
    token = gate.start(payloads={"a": b"1"})
    slot, source, target = moving(cluster, token)
    cluster(f"importing {slot} {source} {target}")
    cluster.admin(source).config_resetstat()
    cluster.admin(target).config_resetstat()
    settled = threading.Thread(target=settle_after_tryagain, args=(cluster, slot, token, source, target))
    settled.start()
    new = gate.rotate(token)
    settled.join()
    assert gate.pget(new, "a") == b"1"
    with pytest.raises(NoSession):
        gate.ttl(token)


def settle_after_tryagain(cluster, slot, token, source, target):
    wait_for(lambda: errors(cluster, "TRYAGAIN") >= 30, 30, "30 answers of TRYAGAIN")
    cluster(f"movekey {token} {source} {target}")
    cluster(f"settle {slot} {target}")


def test_tryagain_is_an_error_of_ours_when_the_slot_does_not_arrive(gate, cluster, monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.1)
    token = gate.start()
    slot, source, target = moving(cluster, token)
    cluster(f"importing {slot} {source} {target}")
    with pytest.raises(TryAgain):
        gate.rotate(token)
    assert gate.pgetall(token) == {}
    cluster(f"movekey {token} {source} {target}")
    cluster(f"settle {slot} {target}")


@pytest.mark.parametrize("gates", ["blocking"], indirect=True)
def test_threads_lose_nothing_while_their_slots_move_to_and_fro(gates, cluster):
    sessions = []
    for _ in range(6):
        session = gates().session()  # redis-py before 6 has cluster clients that no threads may share
        session["count"] = 0
        session.save()
        sessions.append(session)
    done = threading.Event()
    failed = []

    def write(session, gate):
        try:
            while not done.is_set():
                mine = gate.session(session.token)
                mine["count"] += 1
                mine.save()
                session.rotate()
                session["written"] = mine["count"]
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(session, session._gate)) for session in sessions]
    for thread in threads:
        thread.start()
    for _ in range(4):
        for session in sessions:
            slot, source, target = moving(cluster, session.token)
            cluster(f"importing {slot} {source} {target}")
            time.sleep(0.02)  # a while in which the slot is on two nodes
            for key in cluster.admin(source).execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                cluster.admin(source).execute_command(
                    "MIGRATE", "127.0.0.1", cluster.ports[target], key, 0, 5000
                )
            cluster(f"settle {slot} {target}")
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert errors(cluster, "TRYAGAIN") > 0
    for session in sessions:
        assert session._gate.session(session.token)["count"] == session["written"] > 0


def test_the_gate_goes_on_when_a_master_is_killed_and_its_replica_takes_over(make_servers, driver):
    servers = make_servers("--cluster", "3", "--replicas", "1")
    gates = Gates(driver, "blocking", servers)
    gate = gates(options={"socket_timeout": 2})
    sessions = []
    for n in range(12):
        session = gate.session()
        session["n"] = n
        session.save()
        sessions.append(session)
    for node in range(3):
        sizes = [servers.admin(each).dbsize for each in (node, node + 3)]
        wait_for(lambda: sizes[0]() == sizes[1](), what="the replica in step")  # noqa: B023
    servers("kill 0")
    wait_for(lambda: servers.info("replication", 3)["role"] == "master", 60, "the replica promoted")
    wait_for(lambda: servers.admin(1).cluster("info")["cluster_state"] == "ok", 60, "the cluster whole")
    for n, session in enumerate(sessions):
        session["n"] += 100
        session.save()
        assert gate.session(session.token)["n"] == n + 100
    gates.close()


def test_a_cluster_that_is_down_says_so(make_servers, driver):
    servers = make_servers("--cluster", "3")
    gates = Gates(driver, "blocking", servers)
    gate = gates(options={"socket_timeout": 2})
    token = gate.start()
    slot, source, _ = moving(servers, token)
    servers.admin(source).execute_command("CLUSTER", "DELSLOTS", (slot + 1) % 16384)
    state = servers.admin(source).cluster
    wait_for(lambda: state("info")["cluster_state"] == "fail", what="the cluster down")
    with pytest.raises((ClusterDown, getattr(driver.errors, driver.Cluster.__name__ + "Exception"))):
        gate.pset(token, "n", b"d")
    gates.close()


def test_the_sessions_of_an_owner_are_found_wherever_they_are(gate, cluster):
    for n in range(30):
        owner = f"user:{n}"
        session = gate.session()
        session["n"] = n
        session.save()
        session.login(owner)
        other = gate.ostart(owner)
        assert gate.olist(owner) == [session.token, other]
        assert [device.current for device in gate.sessions(owner, current=other)] == [False, True]
        assert gate.end_session(owner, gate.sessions(owner)[1].id)
        assert gate.end_all(owner, keep=session.token) == 0
        assert gate.end_all(owner) == 1
    assert sizes(cluster) == [0, 0, 0]
