"""build.sh, run.sh and bench/run: wrong arguments, missing things, and what a terminal sends."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import termios
import threading

import pytest
import redis

from harness import TOP, Port, end, start, wait_for

READY = "or django, go).\n"  # the last line that it prints


@pytest.fixture(autouse=True, scope="module")
def once(request):
    if request.config.getoption("server") != "redis-bookworm":
        pytest.skip("the scripts run this machine's own server: tested with redis-bookworm")


@pytest.fixture
def port():
    reserved = Port()
    yield reserved.number
    reserved.release()


def said(*command, user=None, **environment):
    """(status, what it printed) of a command that is run in the top directory."""
    if user:
        command = ["setpriv", "--reuid", user, "--clear-groups", *command]
    done = subprocess.run(command, cwd=TOP, text=True, timeout=120, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout


# build.sh ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [["--dir"], ["--dir", ""], ["release"], ["--fresh"], ["-DX"]],
                         ids=" ".join)
def test_build_sh_refuses_a_wrong_argument_in_one_sentence_with_status_2(arguments):
    status, printed = said("./build.sh", *arguments)
    assert status == 2 and re.fullmatch("build.sh: .*; see ./build.sh --help\n", printed)


def test_build_sh_without_libsodium_says_what_brings_it_in_one_sentence(tmp_path):
    status, printed = said("./build.sh", "--dir", tmp_path / "out", PKG_CONFIG_LIBDIR=str(tmp_path))
    assert status == 1 and re.fullmatch("build.sh: libsodium.* ./bootstrap.sh .*\n", printed)


@pytest.fixture
def place():
    """A directory that every user can enter, as pytest's cannot be."""
    with tempfile.TemporaryDirectory(prefix="sessiongate-scripts-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def tree(place):
    """A copy of the tree as it is before anything is built, but with the header."""
    tree = place / "tree"
    shutil.copytree(TOP, tree, ignore=lambda path, _: {"build", ".git"} if path == str(TOP)
                    else {"node_modules"})
    shutil.copytree(TOP / "build" / "deps", tree / "build" / "deps")
    return tree


as_nobody = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")


@as_nobody
def test_build_sh_says_in_one_sentence_that_root_made_its_directory(tree):
    (tree / "out").mkdir()
    status, printed = said(tree / "build.sh", "--dir", tree / "out", user="nobody")
    assert status == 1 and re.fullmatch("build.sh: .*chown -R nobody .* --dir DIR\n", printed)


@as_nobody
def test_build_sh_says_in_one_sentence_that_root_built_in_its_directory(tree):
    (tree / "out").mkdir()
    (tree / "out").chmod(0o777)
    (tree / "out" / "CMakeCache.txt").touch()
    status, printed = said(tree / "build.sh", "--dir", tree / "out", user="nobody")
    assert status == 1 and re.fullmatch("build.sh: .*chown -R nobody .* --dir DIR\n", printed)


@as_nobody
def test_run_sh_says_in_one_sentence_that_the_tree_is_read_only(tree):
    shutil.move(tree / "build" / "deps" / "redismodule.h", tree)
    header = {"REDISMODULE_H": str(tree / "redismodule.h")}
    status, printed = said(tree / "run.sh", user="nobody", **header)
    assert status == 1 and re.fullmatch("bootstrap: .* copy of the tree\n", printed)
    shutil.move(tree / "redismodule.h", tree / "build" / "deps")
    status, printed = said(tree / "run.sh", user="nobody")
    assert status == 1 and re.fullmatch("build.sh: .*chown -R nobody .* --dir DIR\n", printed)
    shutil.rmtree(tree / "build")
    status, printed = said(tree / "build.sh", user="nobody")
    assert status == 1 and re.fullmatch("build.sh: .*copy the tree .* --dir DIR\n", printed)


@pytest.mark.slow
def test_a_build_without_optimization_has_no_warning(tmp_path):
    status, printed = said("./build.sh", "--dir", tmp_path / "out", "-DCMAKE_BUILD_TYPE=Debug",
                           "-DBUILD_TESTING=OFF")
    assert (status, printed) == (0, f"built {tmp_path}/out/sessiongate.so\n")


# bench/run ---------------------------------------------------------------------------------------

@pytest.fixture
def bare_tree(tree):
    """A tree whose bootstrap.sh and build.sh say that they were run."""
    for script in ("bootstrap.sh", "build.sh"):
        (tree / script).write_text(f"#!/bin/sh\necho {script} was run\nexit 1\n")
    return tree


def test_bench_lists_its_experiments_without_installing_or_building(bare_tree):
    status, printed = said(bare_tree / "bench" / "run", "--list")
    assert status == 0 and re.match(r"core +\w", printed) and "was run" not in printed
    names = [line.split()[0] for line in printed.splitlines()]
    assert {"core", "request", "owners", "cluster", "migration"} < set(names) and len(set(names)) == len(names)
    assert said(bare_tree / "bench" / "run", "--only", names[-1]) == (1, "bootstrap.sh was run\n")


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--pairs", "0"], ["--lis"]],
                         ids=" ".join)
def test_bench_refuses_a_wrong_argument_without_installing_or_building(bare_tree, arguments):
    status, printed = said(bare_tree / "bench" / "run", *arguments)
    assert status == 2 and re.fullmatch("bench: .*; see bench/run --help\n", printed)


# run.sh ------------------------------------------------------------------------------------------

class Terminal:
    """A command in a terminal of its own, which signals it when Ctrl-C is typed."""

    def __init__(self, *command):
        self.keyboard, screen = pty.openpty()

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            # A test that runs in a shell's background ignores it, and what it starts would, too.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(list(map(str, command)), stdin=screen, stdout=screen,
                                        stderr=screen, start_new_session=True,
                                        preexec_fn=take_terminal)
        os.close(screen)
        self.printed = ""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):  # how Linux says that the other side was closed
            while some := os.read(self.keyboard, 4096):
                self.printed += some.decode().replace("\r\n", "\n")

    def type(self, keys):
        os.write(self.keyboard, keys)

    def wait_until(self, condition, what):
        def reached():
            assert self.process.poll() is None, self.printed
            return condition()
        wait_for(reached, 60, what)

    def wait_ready(self):
        self.wait_until(lambda: READY in self.printed, "run.sh ready")

    def status(self):
        """What it ends with."""
        self.process.wait(60)
        self.reader.join(60)
        return self.process.returncode

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.reader.join(60)
        os.close(self.keyboard)


@pytest.fixture
def script(tree):
    """The run.sh of a tree that is built: its build.sh finds nothing to do."""
    (tree / "build.sh").write_text("#!/bin/sh\n")
    (tree / "build" / "sessiongate.so").symlink_to(TOP / "build" / "sessiongate.so")
    return tree / "run.sh"


@pytest.fixture
def run_sh(script):
    """Starts run.sh in a terminal: run_sh("--port", 7000). All are stopped after the test."""
    with contextlib.ExitStack() as running:
        def run(*arguments):
            terminal = Terminal(script, *arguments)
            running.callback(terminal.close)
            return terminal
        yield run


@pytest.fixture
def busy():
    """Makes the machine so busy that processes wait for their turn."""
    loads = [subprocess.Popen(["sh", "-c", "while :; do :; done"])
             for _ in range(2 * os.cpu_count())]
    yield
    for load in loads:
        load.kill()
        load.wait()


def log_of_one_stop(directory):
    """The server's log, if that server was told once to stop, and stopped in order."""
    log = (directory / "server.log").read_text()
    assert len(re.findall("Received SIG|signal handler", log)) == 1, log
    assert "bye bye" in log and "You insist" not in log
    return log


@pytest.mark.slow
def test_ctrl_c_sends_the_server_one_signal_on_a_busy_machine(run_sh, port, tmp_path, busy):
    for index in range(12):
        run = run_sh("--port", port, "--dir", tmp_path / str(index))
        run.wait_ready()
        run.type(b"\x03" * (1 + index % 3))  # people type it again
        assert run.status() == 0, run.printed
        assert "The server has stopped" in run.printed
        log_of_one_stop(tmp_path / str(index))


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGHUP],
                                     [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]],
                         ids=lambda signals: " ".join(signal.name for signal in signals))
def test_a_signal_to_the_whole_process_group_is_one_to_the_server(run_sh, port, tmp_path, signals):
    run = run_sh("--port", port, "--dir", tmp_path)
    run.wait_ready()
    for number in signals:
        os.killpg(run.process.pid, number)
    assert run.status() == 0, run.printed
    log_of_one_stop(tmp_path)


@pytest.mark.slow
def test_ctrl_c_while_the_server_starts_leaves_none_behind(run_sh, port, tmp_path):
    for index in range(6):
        directory = tmp_path / str(index)
        run = run_sh("--port", port, "--dir", directory)
        run.wait_until((directory / "server.log").exists, "a server that begins")
        run.type(b"\x03")
        assert run.status() == 0, run.printed
        with pytest.raises(redis.ConnectionError):
            redis.Redis(port=port).ping()


def test_a_server_keeps_its_data_in_a_directory_of_its_port(tree, run_sh, port):
    run = run_sh("--port", port)
    run.wait_ready()
    assert f"are in {tree}/build/run/{port}. Ctrl-C" in run.printed
    assert (tree / "build" / "run" / str(port) / "server.log").exists()


def test_a_directory_that_a_server_uses_is_refused_and_that_server_is_not_disturbed(
        script, run_sh, port, tmp_path):
    run_sh("--port", port, "--dir", tmp_path).wait_ready()
    client = redis.Redis(port=port)
    token = start(client)
    another = Port()
    status, printed = said(script, "--port", str(another.number), "--dir", tmp_path)
    another.release()
    assert status == 1
    assert re.fullmatch(f"run.sh: another server uses {tmp_path}: .*--dir\n", printed)
    assert end(client, token) == b"OK"


def test_a_directory_is_refused_while_its_server_lives_though_its_run_sh_was_killed(
        script, run_sh, port, tmp_path):
    run = run_sh("--port", port, "--dir", tmp_path)
    run.wait_ready()
    run.process.kill()
    run.process.wait()
    client = redis.Redis(port=port)
    another = Port()
    status, printed = said(script, "--port", str(another.number), "--dir", tmp_path)
    another.release()
    assert status == 1 and "another server uses" in printed
    client.shutdown()


def test_a_server_that_does_not_start_shows_what_it_logged_and_not_what_was_there(
        script, port, tmp_path):
    (tmp_path / "server.log").write_text("a reason of yesterday\n")
    (tmp_path / "appendonlydir").write_text("not a directory")
    status, printed = said(script, "--port", str(port), "--dir", tmp_path)
    assert status == 1 and re.search("^run.sh: the server did not start.*above", printed, re.M)
    assert "appendonlydir" in printed and "yesterday" not in printed


@pytest.fixture
def another_server(tmp_path):
    """A server of another name, that ends at once."""
    server = tmp_path / "another-server"
    server.write_text("#!/bin/sh\nexit 3\n")
    server.chmod(0o755)
    return server


def test_a_server_that_logged_nothing_shows_nothing_of_the_log_that_was_there(
        script, port, tmp_path, another_server):
    (tmp_path / "server.log").write_text("a reason of yesterday\n")
    status, printed = said(script, "--port", str(port), "--dir", tmp_path,
                           "--server", another_server)
    assert status == 1
    assert printed == "run.sh: the server did not start (status 3), and logged nothing\n"


def test_another_server_needs_no_redis_of_debian(script, tree, port, tmp_path, another_server):
    bootstrap = (tree / "bootstrap.sh").read_text()
    assert bootstrap.count("command -v redis-") == 2
    (tree / "bootstrap.sh").write_text(bootstrap.replace("command -v redis-", "false "))
    status, printed = said(script, "--port", str(port), "--server", another_server)
    assert status == 1 and printed.startswith("run.sh: the server did not start (status 3)")
    missing = tmp_path / "missing-server"
    status, printed = said(script, "--port", str(port), "--server", missing)
    assert (status, printed) == (1, f"run.sh: there is no server '{missing}'\n")
