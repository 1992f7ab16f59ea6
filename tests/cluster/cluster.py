"""A cluster of real servers with the module, on loopback.

    Cluster   masters with replicas: made, asked for its state, resharded, failed over, healed
    Client    a cluster client that knows of each call whether it was carried out

Like harness.py it needs redis-py and no pytest, and scripts use it too.
"""

import contextlib
import random
import re
import subprocess
import time

from redis.crc import key_slot

from harness import Server, Wire, wait_for

SLOTS = 16384


def slot_of(token):
    return key_slot(token)


def even_shares(masters):
    return [SLOTS * (index + 1) // masters - SLOTS * index // masters for index in range(masters)]


class Cluster:
    """`masters` masters with `replicas` replicas each.

    new_server    makes a Server out of its configuration: the class itself, or a fixture
    shares        how many slots each master gets, in order; even shares when not given
    nodes         every Server; the first `masters` of them were made as masters
    timeout_ms    cluster-node-timeout: how long a node is silent before the others fail it over;
                  by default so long that a busy machine does not make them
    """

    def __init__(self, new_server=Server, masters=3, replicas=1, timeout_ms=5000, shares=None,
                 **config):
        config = {"cluster_enabled": "yes",
                  "cluster_node_timeout": 2000,  # nodes with a longer one take longer to meet
                  # a replica stays with its master, so that WAIT is about the one that follows it
                  "cluster_allow_replica_migration": "no", **config}
        self.timeout_ms = timeout_ms
        self.nodes = []
        try:
            for _ in range(masters * (1 + replicas)):
                self.nodes.append(new_server(**config).start(wait=False))
            for node in self.nodes:
                node.wait_ready()
            self._join(shares or even_shares(masters), replicas)
            self.wait_whole()
            for node in self.nodes:
                node.config["cluster_node_timeout"] = timeout_ms  # for when it is started again
                assert ask(node, "CONFIG", "SET", "cluster-node-timeout", timeout_ms) == "OK"
        except BaseException:
            self.close()
            raise

    def _join(self, shares, replicas):
        first_node = self.nodes[0]
        for epoch, node in enumerate(self.nodes, 1):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", epoch)
            if node is not first_node:
                ask(first_node, "CLUSTER", "MEET", "127.0.0.1", node.port)
        first = 0
        for node, share in zip(self.nodes, shares):
            if share:
                ask(node, "CLUSTER", "ADDSLOTSRANGE", first, first + share - 1)
            first += share
        wait_for(lambda: all(len(nodes_seen_by(node)) == len(self.nodes) and
                             not any("handshake" in seen["flags"] for seen in nodes_seen_by(node))
                             for node in self.nodes), 30, "every node knowing every other")
        for index, node in enumerate(self.nodes[len(shares):]):
            ask(node, "CLUSTER", "REPLICATE", node_id(self.nodes[index % len(shares)]))

    def close(self):
        """Stop all nodes at once, and remove their directories."""
        for node in self.nodes:
            if node.alive() and node.process is not None:
                node.resume()
                node.process.kill()
        for node in self.nodes:
            if node.process is not None:
                node.kill9()
            node.close()
        self.nodes = []

    # Who is who

    def living(self):
        return [node for node in self.nodes if node.alive() and not node.paused]

    def node(self, id):
        return next(node for node in self.nodes if node_id(node) == id)

    def masters(self):
        """The living masters that serve slots, by their own word."""
        return [node for node in self.living() if myself(node)["slots"]]

    def replica(self, master):
        """The first living replica of that master."""
        id = node_id(master)
        return next(node for node in self.living() if myself(node)["master"] == id)

    def owner(self, token):
        """The master that serves the token's slot, by its own word."""
        slot = slot_of(token)
        return next(node for node in self.masters() if slot in slots_of(node))

    def ports(self):
        return [node.port for node in self.nodes]

    def unequal(self):
        """The sessions that a replica holds otherwise than its master, or only one of them holds.
        Sessions that are over in less than a minute are left out."""
        found = []
        for master in self.masters():
            soon = (time.time() + 60) * 1000
            at_master, at_replica = held(master), held(self.replica(master))
            for token in at_master.keys() | at_replica.keys():
                both = [at_master.get(token), at_replica.get(token)]
                if both[0] != both[1] and any(one and one[1] > soon for one in both):
                    found.append((token, *both))
        return found

    # States to wait for

    def is_whole(self):
        """Whether all nodes live, agree who serves what, and each replica is in step."""
        try:
            return all(node.alive() for node in self.nodes) and self._agrees() and self._in_step()
        except (OSError, KeyError):  # a node does not answer, or is still loading
            return False

    def _agrees(self):
        if any(info(node, "cluster")["cluster_state"] != "ok" for node in self.nodes):
            return False
        flags = {flag for node in self.nodes for seen in nodes_seen_by(node)
                 for flag in seen["flags"]}
        return not flags & {"fail", "fail?"} and len({slot_map(node) for node in self.nodes}) == 1

    def _in_step(self):
        said = [info(node, "replication") for node in self.nodes]
        sent = {str(node.port): int(its["master_repl_offset"])
                for node, its in zip(self.nodes, said) if its["role"] == "master"}
        for node, its in zip(self.nodes, said):
            if its["role"] == "slave" and (
                    its["master_link_status"] != "up" or
                    int(info(node, "replication")["slave_repl_offset"]) < sent[its["master_port"]]):
                return False
            saving = info(node, "persistence")
            if saving["aof_rewrite_in_progress"] != "0" or saving["aof_rewrite_scheduled"] != "0":
                return False
        return True

    def wait_whole(self, seconds=60):
        wait_for(self.is_whole, seconds, "the cluster whole: all nodes up, agreed and in step")

    def wait_promoted(self, replica, seconds=60):
        wait_for(lambda: replica in self.masters(), seconds, f"{replica} promoted")

    # Changes

    def fail_over(self, replica):
        """CLUSTER FAILOVER: the replica takes over from its living master, in agreement with it."""
        assert ask(replica, "CLUSTER", "FAILOVER") == "OK"
        self.wait_promoted(replica)

    def manage(self, *arguments):
        """What the server's own command line client prints for --cluster ..."""
        run = subprocess.run([self.nodes[0].program / "cli", "--cluster", *map(str, arguments)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        assert run.returncode == 0, f"--cluster {arguments[0]} failed:\n{run.stdout}"
        return run.stdout

    def reshard(self, source, target, slots):
        """Move that many slots, key by key, as an operator does."""
        self.manage("reshard", f"127.0.0.1:{source.port}", "--cluster-from", node_id(source),
                    "--cluster-to", node_id(target), "--cluster-slots", slots, "--cluster-yes")
        self.wait_whole()

    def move_slowly(self, slot, source, target, dice, pause):
        """Move a slot key by key, in a random order, and call `pause` after each key."""
        assert ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source)) == "OK"
        assert ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target)) == "OK"
        while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000):
            assert ask(source, "MIGRATE", "127.0.0.1", target.port, dice.choice(keys), 0,
                       10_000) in ("OK", "NOKEY")  # it may be over
            pause()
        for node in (target, source):
            assert ask(node, "CLUSTER", "SETSLOT", slot, "NODE", node_id(target)) == "OK"


# One node ----------------------------------------------------------------------------------------

def ask(node, *command):
    """The reply to one command, on a connection of its own: the node may have been restarted."""
    with Wire(node.port, 10) as wire:
        return wire.call(*command)


def info(node, section):
    """A section of the node's INFO, or CLUSTER INFO, as {name: text}."""
    command = ("CLUSTER", "INFO") if section == "cluster" else ("INFO", section)
    text = ask(node, *command)
    if isinstance(text, Wire.Error):  # loading
        return {}
    return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)


def node_id(node):
    """The node's id. It outlives the process."""
    if not hasattr(node, "cluster_id"):
        node.cluster_id = ask(node, "CLUSTER", "MYID").decode()
    return node.cluster_id


def nodes_seen_by(node):
    """CLUSTER NODES of that node: dicts of id, port, flags, master and slots (a list of ranges)."""
    answer = ask(node, "CLUSTER", "NODES")
    seen = []
    for line in [] if isinstance(answer, Wire.Error) else answer.decode().splitlines():
        id, address, flags, master, _, _, _, _, *slots = line.split(" ")
        ranges = [tuple(map(int, range.split("-"))) for range in slots if not range.startswith("[")]
        seen.append({"id": id, "port": int(re.search(r":(\d+)@", address)[1]),
                     "flags": flags.split(","), "master": None if master == "-" else master,
                     "slots": [(range[0], range[-1]) for range in ranges]})
    return seen


def myself(node):
    return next((seen for seen in nodes_seen_by(node) if "myself" in seen["flags"]),
                {"flags": [], "master": None, "slots": []})


def slots_of(node):
    return {slot for first, last in myself(node)["slots"] for slot in range(first, last + 1)}


def slot_map(node):
    """CLUSTER SLOTS of that node, to compare: (first, last, master's port, replicas' ports)."""
    return tuple(sorted((first, last, master[1], tuple(sorted(replica[1] for replica in replicas)))
                        for first, last, master, *replicas in ask(node, "CLUSTER", "SLOTS")))


def held(node):
    """{token: (digest, expiry time in ms)} of every key of that node, be it a replica."""
    with node.wire() as wire:
        wire.call("READONLY")
        tokens, cursor = [], b"0"
        while True:
            cursor, some = wire.call("SCAN", cursor, "COUNT", 1000)
            tokens.extend(some)
            if cursor == b"0":
                break
        digests = wire.pipeline(("DEBUG", "DIGEST-VALUE", token) for token in tokens)
        times = wire.pipeline(("PEXPIRETIME", token) for token in tokens)
    return {token: (digest[0], time) for token, digest, time in zip(tokens, digests, times)}


def misplaced(node):
    """The keys of that node that cannot be found, and the slots whose table lacks a key. What
    expires during one look is not there at the next."""
    return sorted(look_for_misplaced(node) & look_for_misplaced(node), key=str)


def look_for_misplaced(node):
    tokens = list(held(node))
    count = {}
    for token in tokens:
        count[slot_of(token)] = count.get(slot_of(token), 0) + 1
    with node.wire() as wire:
        wire.call("READONLY")
        there = wire.pipeline(("EXISTS", token) for token in tokens)
        counted = wire.pipeline(("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in count)
    return {token for token, found in zip(tokens, there) if found != 1} | \
        {slot for slot, found in zip(count, counted) if found < count[slot]}


# The client --------------------------------------------------------------------------------------

class NoAnswer(Exception):
    """The connection ended, or time ran out, after a command was sent: it may have been carried
    out, and, if the server only sleeps, it may yet be."""


class Client:
    """A cluster client. It follows redirections, and tries again what was surely not carried out.

    ports     of the nodes
    waits     how many replicas WAIT asks for after each write; 0 for no WAIT
    timeout   seconds until an answer is given up, which raises NoAnswer
    passes    codes of errors that it passes on to the caller, at once
    handled   counts of the errors that it handled or passed on, by code, and of lost connections
    """

    WAIT_MS = 500
    PATIENCE = 60  # seconds in which a call must find a node that takes it

    def __init__(self, ports, waits=0, timeout=30, seed=None):
        self.ports = list(ports)
        self.waits = waits
        self.timeout = timeout
        self.random = random.Random(seed)
        self.wires = {}
        self.owners = [None] * SLOTS
        self.passes = ()
        self.handled = {}

    def close(self):
        for port in list(self.wires):
            self._drop(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self, token, *command):
        """The reply to a command on that token; an error that is no redirection is a Wire.Error."""
        return self._call(token, command, False)[0]

    def write(self, token, *command):
        """(reply, how many replicas have it). `token` None: any master may take the command."""
        return self._call(token, command, self.waits > 0)

    def _call(self, token, command, wait):
        port = self._owner(token)
        asking = False
        give_up_at = time.monotonic() + self.PATIENCE
        while True:
            reply, replicas = self._try(port, asking, command, wait)
            asking = False
            code = reply.code if isinstance(reply, Wire.Error) else None
            if code in self.passes:
                self.handled[code] = self.handled.get(code, 0) + 1
                return reply, replicas
            if code in ("MOVED", "ASK"):
                _, slot, address = reply.split(" ")
                port = int(address.rsplit(":", 1)[1])
                asking = code == "ASK"
                if not asking:
                    self.owners[int(slot)] = port
            elif code in ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "NOSLOT",
                          "unreachable"):
                time.sleep(0.02)
                self._learn()
                port = self._owner(token)
            else:
                return reply, replicas
            self.handled[code] = self.handled.get(code, 0) + 1
            if time.monotonic() > give_up_at:
                raise AssertionError(f"for {self.PATIENCE} s no node took {command[0]}: "
                                     f"{self.handled}")

    def _try(self, port, asking, command, wait):
        """One attempt at that node: (reply, replicas that have it)."""
        try:
            wire = self._wire(port)
        except OSError:  # so nothing was sent
            return Wire.Error("unreachable"), 0
        commands = [("ASKING",)] * asking + [command] + [("WAIT", self.waits, self.WAIT_MS)] * wait
        try:
            wire.socket.sendall(b"".join(Wire.encode(*each) for each in commands))
            replies = [wire.read() for _ in commands]
        except OSError as error:
            self._drop(port)
            self.handled["no answer"] = self.handled.get("no answer", 0) + 1
            raise NoAnswer(str(error)) from None
        waited = replies[-1] if wait and isinstance(replies[-1], int) else 0
        return replies[1 if asking else 0], waited

    def _wire(self, port):
        if port not in self.wires:
            self.wires[port] = Wire(port, self.timeout)
        return self.wires[port]

    def _drop(self, port):
        with contextlib.suppress(OSError):
            self.wires.pop(port).close()

    def _owner(self, token):
        if self.owners[0] is None:
            self._learn()
        if token is None:
            return self.random.choice(sorted(set(self.owners) - {None}) or self.ports)
        return self.owners[slot_of(token)] or self.random.choice(self.ports)

    def _learn(self):
        """Ask some node who serves what."""
        port = self.random.choice(self.ports)
        try:
            with Wire(port, 1) as wire:
                answer = wire.call("CLUSTER", "SLOTS")
        except OSError:
            return
        if isinstance(answer, list):
            for first, last, master, *_ in answer:
                self.owners[first:last + 1] = [master[1]] * (last - first + 1)


def shared(kept, name, new_server, **options):
    """Yield the cluster of that name, empty and whole; whoever finds it not whole makes it anew."""
    if name in kept and not kept[name].is_whole():
        kept.pop(name).close()
    if name not in kept:
        kept[name] = Cluster(new_server, **options)
    cluster = kept[name]
    for master in cluster.masters():
        ask(master, "FLUSHALL")
    cluster.wait_whole()
    yield cluster
    cluster.wait_whole()
