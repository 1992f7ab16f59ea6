"""The options and fixtures of these tests."""

import importlib.util
import pathlib

import pytest
from support import Driver, Gates, Servers

FRAMEWORKS = {
    "test_django.py": "django",
    "test_django_suite.py": "django",
    "test_flask.py": "flask",
    "test_starlette.py": "starlette",
}
collect_ignore = [file for file, needed in FRAMEWORKS.items() if importlib.util.find_spec(needed) is None]


def pytest_addoption(parser):
    group = parser.getgroup("sessiongate")
    group.addoption("--driver", default="redis", choices=["redis", "valkey"], help="redis-py or valkey-py")
    group.addoption("--server", default="redis-bookworm", metavar="NAME", help="one of `tests/servers list`")


def pytest_report_header(config):
    driver = Driver(config.getoption("driver"))
    return f"server {config.getoption('server')}, driver {driver.name}-py {driver.module.__version__}"


@pytest.fixture(scope="session")
def driver(request):
    return Driver(request.config.getoption("driver"))


@pytest.fixture(scope="session")
def lend(request, driver):
    """Makes Servers: lend("--cluster", "3"). The caller closes them."""
    name = request.config.getoption("server")

    def make(*arguments):
        return Servers(driver, "--server", name, *arguments)

    return make


@pytest.fixture
def make_servers(lend):
    """Makes Servers for one test."""
    made = []

    def make(*arguments):
        made.append(lend(*arguments))
        return made[-1]

    yield make
    for servers in made:
        servers.close()


@pytest.fixture(scope="session")
def kept_server(lend):
    servers = lend()
    yield servers
    servers.close()


@pytest.fixture
def server(kept_server):
    """One server for all tests. Each finds it empty."""
    kept_server.flush()
    return kept_server


@pytest.fixture(params=["blocking", "asyncio"])
def gates(request, driver, server):
    """Makes Gates on the server, of both kinds."""
    gates = Gates(driver, request.param, server)
    yield gates
    gates.close()


@pytest.fixture
def gate(gates):
    return gates()


@pytest.fixture(params=["blocking", "asyncio"])
def gates_of(request, driver):
    """Makes Gates, of both kinds, on servers of the test's own: gates_of(servers)."""
    made = []

    def make(servers):
        made.append(Gates(driver, request.param, servers))
        return made[-1]

    yield make
    for gates in made:
        gates.close()


def pytest_collection_modifyitems(items):
    for item in items:
        if pathlib.Path(item.fspath).name not in FRAMEWORKS:
            item.add_marker("core")
