"""Servers to measure: each on 127.0.0.1, in a directory of its own, pinned to the servers' core.

    SERVER_CORE, CLIENT_CORE    where servers run, and where the load (and this program) does
    Server                      one server process
    callgrind                   a Server whose instructions can be counted where perf cannot
"""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import redis

TOP = pathlib.Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]


def free_port():
    """A port that is free now, and whose cluster bus port is."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port > 55000:
            continue
        with socket.socket() as bus:
            try:
                bus.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        return port


def wait_for(condition, what, seconds=600, every=0.005):
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {seconds} s there is still not: {what}")
        time.sleep(every)


class Server:
    """A server process with the module. Use as a context manager; it is stopped by its process id.

    program    the server's program
    core       the core it is pinned to
    under      a program that runs it, with its arguments
    modules    what it loads of build/bench
    config     configuration, with _ for -: appendonly="yes"
    """

    def __init__(self, program="redis-server", core=SERVER_CORE, under=(),
                 modules=("sessiongate",), **config):
        self.program = program
        self.modules = modules
        self.under = list(under)
        self.core = core
        self.port = free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sessiongate-bench-"))
        self.config = {"save": "", "appendonly": "no", "databases": 16, "hz": 10,
                       "repl_diskless_sync_delay": 0, "proto_max_bulk_len": "512mb",
                       "client_query_buffer_limit": "1gb", "loglevel": "notice",
                       "enable_debug_command": "yes"} | config
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "daemonize no",
                 f"logfile {self.directory}/log",
                 *(f"loadmodule {TOP}/build/bench/{module}.so" for module in self.modules)]
        for name, value in self.config.items():
            lines.append(f"{name.replace('_', '-')} " + (str(value) or '""'))
        (self.directory / "server.conf").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.core), *self.under, self.program,
             self.directory / "server.conf"],
            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.directory / "stderr", "ab"))
        self.client = redis.Redis(port=self.port, socket_timeout=600)
        wait_for(self.serves, "the server to serve")
        return self

    def serves(self):
        if self.process.poll() is not None:
            raise RuntimeError("the server ended:\n" + self.log()[-2000:])
        try:
            return self.client.ping()
        except redis.RedisError:  # not listening yet, or loading
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.client.close()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self):
        files = (self.directory / "log", self.directory / "stderr")
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    @property
    def pid(self):
        return self.process.pid

    def cpu_ns(self):
        """(ns that the server's main thread ran, ns that it was kept waiting for its core)."""
        ran, waited, _ = pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()
        return int(ran), int(waited)

    def call(self, *arguments):
        return self.client.execute_command(*arguments)

    def follow(self, master):
        """Become a replica, and return when it has what the master had."""
        self.call("REPLICAOF", "127.0.0.1", master.port)
        wait_for(lambda: self.client.info("replication")["master_link_status"] == "up",
                 "the replica in step")

    def flush(self, *databases):
        """Empty these databases, and do not leave the work to the background."""
        for database in databases:
            with redis.Redis(port=self.port, db=database, socket_timeout=600) as client:
                client.execute_command("FLUSHDB", "SYNC")

    def used_memory(self):
        return self.client.info("memory")["used_memory"]


# Instructions ------------------------------------------------------------------------------------

def perf_refusal():
    """Why perf cannot count instructions here, or None when it can."""
    if not shutil.which("perf"):
        return "perf is not installed"
    ran = subprocess.run(["perf", "stat", "-x,", "-e", "instructions", "true"], text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ran.returncode != 0:
        return "perf stat fails: " + ran.stderr.strip().splitlines()[-1]
    if "<not supported>" in ran.stderr:
        return "perf has no counter of instructions here, as on most virtual machines"
    if "<not counted>" in ran.stderr:
        return "perf stat may not count instructions"
    return None


class PerfServer(Server):
    """Counts with perf: all instructions of the server's process, the kernel's for it included."""

    def counted(self, load):
        """Instructions of the server while load() runs."""
        perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "instructions", "-p", str(self.pid)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)  # perf does not say when it is attached; nothing runs before and after
        load()
        perf.send_signal(2)
        return int(perf.communicate()[1].split(",")[0])


class CallgrindServer(Server):
    """Counts with callgrind: the instructions in the server's own code and libraries, no kernel."""

    def __init__(self, **config):
        super().__init__(under=["valgrind", "--tool=callgrind",
                                "--callgrind-out-file=callgrind.out"], hz=1, **config)
        self.profile = ""  # what callgrind wrote of the last load that was counted

    def counted(self, load):
        self.monitor("zero")
        load()
        self.monitor("dump")
        dump = max(self.directory.glob("callgrind.out.*"), key=lambda path: path.stat().st_mtime_ns)
        self.profile = dump.read_text()
        dump.unlink()
        return int(re.search(r"^(?:summary|totals): (\d+)", self.profile, re.M)[1])

    def spent_in(self, prefix):
        """Of the last count, what the functions took whose name begins so, with all they called.

        A call is two lines, "calls=<how often> <where>" and "<where> <instructions>", after the name
        of the function that is called. A name stands in the profile once, after its number.
        """
        names, called, total, is_cost = {}, "", 0, False
        for line in self.profile.splitlines():
            if is_cost:
                total += int(line.split()[1]) if called.startswith(prefix) else 0
            named = re.match(r"c?fn=(\(\d+\))(?: (.*))?", line)
            if named and named[2]:
                names[named[1]] = named[2]
            if named and line[0] == "c":
                called = names[named[1]]
            is_cost = line.startswith("calls=")
        return total

    def monitor(self, command):
        subprocess.run(["vgdb", f"--pid={self.pid}", command], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
