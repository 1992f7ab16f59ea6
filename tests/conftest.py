"""The options and fixtures of every test that is written in Python."""

import pathlib
import shutil
import signal
import subprocess

import pytest

import harness
from harness import Server, Stream, wait_linked


def pytest_addoption(parser):
    group = parser.getgroup("sessiongate")
    group.addoption("--server", default="redis-bookworm", metavar="NAME",
                    help="the server to test on, one of `tests/servers list` [redis-bookworm]")
    group.addoption("--module", default=harness.MODULE, type=pathlib.Path, metavar="PATH",
                    help="the module to load [build/sessiongate.so]")
    group.addoption("--full", action="store_true", help="run the tests that take minutes, too")


def pytest_configure(config):
    # A run that is told to end must still stop its servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.option.collectonly or config.option.help:
        return
    module = config.getoption("module").resolve()
    if not module.is_file():
        raise pytest.UsageError(f"there is no module at {module}; ./build.sh builds it")
    got = subprocess.run([harness.TOP / "tests" / "servers", "get", config.getoption("server")],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if got.returncode != 0:
        raise pytest.UsageError(got.stdout.strip())
    config.server_version = got.stdout.strip()


def pytest_report_header(config):
    return f"server {getattr(config, 'server_version', 'none')}"


def pytest_collection_modifyitems(config, items):
    if config.getoption("full"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; --full runs it"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that fails shows the end of the log of each server that lives."""
    report = (yield).get_result()
    if report.failed:
        for server in Server.living:
            tail = "\n".join(server.log().splitlines()[-40:])
            report.sections.append((f"end of the log of {server}", tail))


@pytest.fixture(scope="session")
def module(request, tmp_path_factory):
    """A copy of the module under test: a build meanwhile does not change a server's restart."""
    built = request.config.getoption("module").resolve()
    return pathlib.Path(shutil.copy(built, tmp_path_factory.mktemp("module")))


@pytest.fixture(scope="session")
def new_server(request, module):
    """The class Server with --server and --module filled in. The caller closes what it makes."""
    def make(**config):
        return Server(**{"name": request.config.getoption("server"), "module": module, **config})
    return make


@pytest.fixture
def make_server(new_server):
    """Makes and starts a server: make_server(appendonly="yes"). All are closed after the test."""
    made = []

    def make(start=True, **config):
        server = new_server(**config)
        made.append(server)
        return server.start() if start else server
    yield make
    close_all(made)


@pytest.fixture
def replica_of(make_server):
    """Makes a replica of a server, and returns it when it is in step."""
    def make(master, **config):
        replica = make_server(replicaof=f"127.0.0.1 {master.port}", **config)
        wait_linked(replica)
        return replica
    return make


@pytest.fixture(scope="module")
def module_server(new_server):
    server = new_server().start()
    yield server
    server.close()


@pytest.fixture
def server(module_server):
    """One server for all tests of a file. Each finds it empty and configured as at its start."""
    if not module_server.alive():
        module_server.start()
    client = module_server.client()
    client.flushall()  # others of the file may have used it by itself
    before = client.config_get()
    yield module_server
    assert module_server.alive(), \
        f"{module_server} died with status {module_server.process.returncode}"
    client = module_server.client()
    for name, value in client.config_get().items():
        if before[name] != value:
            client.config_set(name, before[name])
    for user in client.acl_users():
        if user != "default":
            client.acl_deluser(user)
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    client.function_flush()
    client.flushall()
    module_server.disconnect()


@pytest.fixture
def r(server):
    """A redis-py client of the shared server; replies are bytes."""
    return server.client()


@pytest.fixture
def stream(server):
    """What the shared server sends to its replicas from here on."""
    with Stream(server) as stream:
        stream.commands()
        yield stream


def close_all(servers):
    """Close each, whatever happens to the others, and say if one had died by itself."""
    dead = [server for server in servers if server.process is not None
            and server.process.poll() not in (None, 0, -signal.SIGKILL)]
    failed = []
    for server in reversed(servers):
        try:
            server.close()
        except AssertionError as error:
            failed.append(str(error))
    failed.extend(f"{server} died with status {server.process.returncode}" for server in dead)
    assert not failed, "; ".join(failed)
