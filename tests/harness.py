"""Real servers with the module, for every test that is written in Python.

    Server     one server process: its own directory, free port, configuration, log and clients
    Wire       one connection that shows the protocol as it is: RESP2, RESP3, MONITOR, replication
    Stream     what a master sends to its replicas
    start, pset, pget, pdel, expire, end
               the six commands on a redis-py client; arguments are bytes, str or int
    wait_for, error_code, is_token, signed

It needs redis-py and no pytest, so that scripts may use it too. Servers listen on 127.0.0.1.
"""

import contextlib
import functools
import hashlib
import hmac
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import redis
import redis.connection

TOP = pathlib.Path(__file__).resolve().parent.parent
MODULE = TOP / "build" / "sessiongate.so"
SERVERS = TOP / "build" / "servers"

LARGEST_TTL = 3_153_600_000  # seconds
LARGEST_SIGN_KEY = 65_536  # bytes
LARGEST_NAME = 200  # bytes
LARGEST_DATA = 8_000_000  # bytes

KEY = b"a sign key of the tests"


# The six commands --------------------------------------------------------------------------------

def start(client, sign_key=KEY, ttl=60):
    return client.execute_command("SESSIONGATE.START", sign_key, ttl)


def expire(client, token, ttl, sign_key=KEY):
    return client.execute_command("SESSIONGATE.EXPIRE", sign_key, token, ttl)


def pset(client, token, name, data, sign_key=KEY):
    return client.execute_command("SESSIONGATE.PSET", sign_key, token, name, data)


def pget(client, token, name, sign_key=KEY):
    return client.execute_command("SESSIONGATE.PGET", sign_key, token, name)


def pdel(client, token, name, sign_key=KEY):
    return client.execute_command("SESSIONGATE.PDEL", sign_key, token, name)


def end(client, token, sign_key=KEY):
    return client.execute_command("SESSIONGATE.END", sign_key, token)


def signature(sign_key, id):
    return hmac.new(sign_key, id, hashlib.sha256).hexdigest().encode()


def signed(sign_key=KEY, id=b"abcdefghijklmnop"):
    """The token that has this id and is signed with this key, whether or not it was started."""
    return b"v1." + id + b"." + signature(sign_key, id)


def is_token(token, sign_key=KEY):
    """Whether the token has the form v1.<id>.<signature> and the signature is the sign key's."""
    form = re.fullmatch(rb"v1\.([a-zA-Z0-9]{16})\.([0-9a-f]{64})", token)
    return form is not None and form[2] == signature(sign_key, form[1])


def is_internal(command):
    """Whether the name, in bytes, is of a command that no client may call."""
    return re.fullmatch(rb"SG[A-Z]{2}|SESSIONGATE\.PROBE(READ)?", command.upper()) is not None


# Waiting and failing -----------------------------------------------------------------------------

def wait_for(condition, seconds=10, what="the condition"):
    """Call `condition` until it answers something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"after {seconds} s there is still not: {what}"
        time.sleep(0.01)


def error_code(call, *arguments, **keywords):
    """The first word of the error that the call is answered with, or None when it is not refused.

    `call` may also be an answer that a pipeline returned without raising it.
    """
    if isinstance(call, Exception):
        return call.code
    try:
        call(*arguments, **keywords)
    except redis.RedisError as error:
        return error.code
    return None


class Parser(redis.connection.PythonParser):
    """redis-py takes the first word off some errors; keep it as `code`, and the whole as `text`."""

    def parse_error(self, response):
        error = super().parse_error(response)
        error.code = response.split(" ", 1)[0]
        error.text = response
        return error


def wait_linked(replica):
    """Wait until the replica follows its master, and has what the master had."""
    wait_for(lambda: replica.info("replication").get("master_link_status") == "up", 30,
             f"{replica} linked with its master")
    replica.wait_synced()


# Ports -------------------------------------------------------------------------------------------

class Port:
    """A port that no other test takes, and neither its cluster bus port, which is 10000 higher.

    A port is tried by binding it; then it must be let go for the server, and must stay ours while a
    server restarts. So each holder also binds a socket whose abstract name says the port: all
    test runs of this machine see it, and the kernel frees it when its holder dies.
    """

    def __init__(self):
        for number in random.sample(range(10000, 22000), 1000):
            self.claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self.claim.bind(f"\0sessiongate-test-port-{number}")
                for tried in (number, number + 10000):
                    with socket.socket() as listener:
                        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        listener.bind(("127.0.0.1", tried))
            except OSError:
                self.claim.close()
                continue
            self.number = number
            return
        raise RuntimeError("1000 ports were tried, and none is free")

    def release(self):
        self.claim.close()


# Servers -----------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def program_version(name):
    """("redis" or "valkey", version as a tuple of int) of the server called `name`."""
    said = subprocess.run([SERVERS / name / "bin" / "server", "--version"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    family, version = re.match(r"(\w+) server v=([\d.]+)", said).groups()
    return family.lower(), tuple(int(part) for part in version.split("."))


class Server:
    """One server process. Configuration is given as keywords, with _ for -: appendonly="yes".

    name        which server, as in `tests/servers list`; it must have been brought
    module      path of the module, or None for a server without it
    port        number
    directory   where its data, configuration and log are; removed by close()
    """

    living = []  # every server that is not closed

    def __init__(self, name="redis-bookworm", module=MODULE, **config):
        self.name = name
        self.program = SERVERS / name / "bin"
        family, self.program_version = program_version(name)
        self.valkey = family == "valkey"
        self.reservation = Port()
        self.port = self.reservation.number
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"sessiongate-{name}-{self.port}-"))
        self.module = module
        self.process = None
        self.paused = False
        self.clients = []
        self.config = {"save": "", "loglevel": "notice", "repl_diskless_sync_delay": 0}
        if self.version >= (7, 0):
            self.config.update(enable_debug_command="yes", enable_module_command="yes",
                               shutdown_timeout=0)
        self.config.update(config)
        Server.living.append(self)

    def __repr__(self):
        return f"{self.name}:{self.port}"

    @property
    def version(self):
        """The version of Redis whose features it has, to compare: Valkey left Redis at 7.2.4."""
        return (7, 2, 4) if self.valkey else self.program_version

    # Life and death

    def start(self, wait=True):
        """Start it; with `wait`, return when it has loaded its data and serves."""
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "daemonize no",
                 f"logfile {self.directory}/log"]
        if self.module:
            lines.append(f"loadmodule {self.module}")
        for name, value in self.config.items():
            lines.append(f"{name.replace('_', '-')} " + (str(value) or '""'))
        (self.directory / "server.conf").write_text("\n".join(lines) + "\n")
        with open(self.directory / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                [self.program / "server", self.directory / "server.conf"], cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def serves():
            assert self.alive(), f"{self} ended with status {self.process.returncode}"
            try:
                return self.client().ping()
            except redis.RedisError:  # not listening yet, or loading
                return False
        wait_for(serves, seconds, f"{self} ready")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Stop it in order. It writes no dump that it was not configured to write."""
        self.disconnect()
        if not self.alive():
            return
        self.resume()
        for _ in range(20):
            self.process.terminate()  # again: one that writes its first AOF forgets it
            try:
                self.process.wait(1)
                return
            except subprocess.TimeoutExpired:
                continue
        self.kill9()
        raise AssertionError(f"{self} did not stop within 20 s of SIGTERM")

    def kill9(self):
        """Kill it as a power cut would."""
        if self.alive():
            self.process.kill()
            self.process.wait()
        self.paused = False
        self.disconnect()

    def restart(self, **config):
        """Stop it and start it again on the same data, with some configuration changed."""
        self.stop()
        self.config.update(config)
        return self.start()

    def pause(self):
        """Stop it from running, without its knowledge, until resume()."""
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        if self.paused:
            self.process.send_signal(signal.SIGCONT)
            self.paused = False

    def close(self):
        """Stop it and remove its directory."""
        try:
            self.stop()
        finally:
            Server.living.remove(self)
            self.reservation.release()
            shutil.rmtree(self.directory, ignore_errors=True)

    # Talking to it

    def client(self, db=0, **options):
        """A redis-py client whose replies are bytes. One of each kind is made and kept."""
        key = (db, tuple(sorted(options.items())))
        for kept, client in self.clients:
            if kept == key:
                return client
        options = {"socket_timeout": 60, **options}
        client = redis.Redis(connection_pool=redis.ConnectionPool(
            host="127.0.0.1", port=self.port, db=db, parser_class=Parser, **options))
        self.clients.append((key, client))
        return client

    def disconnect(self):
        for _, client in self.clients:
            client.connection_pool.disconnect()
        self.clients = []

    def wire(self, protocol=2):
        """A Wire to it, which the caller closes (it is a context manager)."""
        wire = Wire(self.port)
        if protocol == 3:
            wire.call("HELLO", 3)
        return wire

    def cli(self, *arguments):
        """What its own command line client prints, as bytes without the last line end."""
        return subprocess.run([self.program / "cli", "-p", str(self.port), *arguments], check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout[:-1]

    def info(self, section="default"):
        return self.client().info(section)

    def log(self):
        """All that it has written to its log and to stderr."""
        files = (self.directory / "log", self.directory / "stderr")
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    # States to wait for

    def wait_synced(self, seconds=30):
        """Wait until this replica has carried out all that its master has sent up to now."""
        master = self.info("replication")
        host = redis.Redis(port=master["master_port"], host=master["master_host"])
        with contextlib.closing(host):
            target = host.info("replication")["master_repl_offset"]

        def caught_up():
            now = self.info("replication")
            return now["master_link_status"] == "up" and now["slave_repl_offset"] >= target
        wait_for(caught_up, seconds, f"{self} in step with its master")

    def wait_saved(self, seconds=30):
        """Wait until no BGSAVE or BGREWRITEAOF runs or waits, and the last ones went well."""
        def done():
            now = self.info("persistence")
            return not (now["rdb_bgsave_in_progress"] or now["aof_rewrite_in_progress"]
                        or now["aof_rewrite_scheduled"])
        wait_for(done, seconds, f"{self} done with saving")
        now = self.info("persistence")
        assert now["rdb_last_bgsave_status"] == "ok" and now["aof_last_bgrewrite_status"] == "ok"

    # What it holds

    def sessions(self, db=0):
        """{token: (digest of the value, expiry time in ms)} of every key of that database."""
        client = self.client(db)
        tokens = sorted(client.scan_iter(count=1000))
        held = {}
        for first in range(0, len(tokens), 500):
            some = tokens[first:first + 500]
            with client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("DEBUG", "DIGEST-VALUE", *some)
                for token in some:
                    pipeline.execute_command("PEXPIRETIME", token)
                digests, *times = pipeline.execute()
            held.update(zip(some, zip(digests, times)))
        return held


# The protocol as it is ---------------------------------------------------------------------------

class Wire:
    """One connection. Replies are told apart as the protocol does:

    +simple is str, $bulk is bytes, :integer is int, -error is Error, null is None, array is list,
    and of RESP3: map is dict, set is list, boolean is bool, double is float, push is Push.
    """

    class Error(str):
        @property
        def code(self):
            return self.split(" ", 1)[0]

    class Push(list):
        pass

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    @staticmethod
    def encode(*arguments):
        parts = [b"*%d\r\n" % len(arguments)]
        for argument in arguments:
            if not isinstance(argument, bytes):
                argument = str(argument).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
        return b"".join(parts)

    def send(self, *arguments):
        self.socket.sendall(self.encode(*arguments))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return self.Error(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind in b"$=!":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest))
            self.file.read(2)
            return self.Error(data.decode(errors="replace")) if kind == b"!" else data
        if kind in b"*~":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b">":
            return self.Push(self.read() for _ in range(int(rest)))
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        raise ValueError(f"not the protocol: {line!r}")

    def call(self, *arguments):
        self.send(*arguments)
        return self.read()

    def pipeline(self, commands, batch=10_000):
        """The replies to all these commands, sent `batch` at a time."""
        commands, replies = list(commands), []
        for first in range(0, len(commands), batch):
            some = commands[first:first + batch]
            self.socket.sendall(b"".join(self.encode(*command) for command in some))
            replies.extend(self.read() for _ in some)
        return replies

    def expect(self, commands, replies, batch=10_000):
        """Send all these commands; assert that the replies are these, in bytes of the protocol."""
        commands, replies = list(commands), list(replies)
        for first in range(0, len(commands), batch):
            some = slice(first, first + batch)
            self.socket.sendall(b"".join(self.encode(*command) for command in commands[some]))
            expected = b"".join(replies[some])
            assert self.file.read(len(expected)) == expected


def commands_in(text):
    """The commands of the bytes of an AOF."""
    found, position = [], 0
    while position < len(text):
        end = text.index(b"\r\n", position)
        line, position = text[position:end], end + 2
        if line.startswith(b"#"):
            continue
        assert line.startswith(b"*")
        command = []
        for _ in range(int(line[1:])):
            end = text.index(b"\r\n", position)
            length, position = int(text[position + 1:end]), end + 2
            command.append(text[position:position + length])
            position += length + 2
        found.append(command)
    return found


class Stream:
    """A connection that plays a replica, and sees what the master sends to its replicas."""

    def __init__(self, server):
        self.server = server
        self.wire = server.wire()
        self.bytes = bytearray()
        assert self.wire.call("REPLCONF", "listening-port", 1) == "OK"
        self.wire.send("PSYNC", "?", -1)
        file = self.wire.file
        while True:  # the master sends empty lines while it saves
            line = file.readline()
            if line.startswith(b"$"):
                break
            assert line.strip() == b"" or line.startswith(b"+FULLRESYNC"), line
        self.dump = file.read(int(line[1:]))
        self.marks = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def commands(self):
        """The commands since the last call, as lists of bytes, without housekeeping."""
        self.marks += 1
        mark = b"mark %d of %d" % (self.marks, id(self))
        self.server.client().publish("sessiongate-tests", mark)
        seen = []
        while True:
            command = self.wire.read()
            self.bytes += self.wire.encode(*command)
            if command == [b"PUBLISH", b"sessiongate-tests", mark]:
                return seen
            if command[0].upper() not in (b"PING", b"SELECT", b"REPLCONF", b"PUBLISH"):
                seen.append(command)
