"""The packages of packaging/build and `cmake --install`: what is in them, and that it works when installed."""

import contextlib
import re
import subprocess
import tarfile

import pytest
import redis

from harness import TOP, Port, end, error_code, is_token, pget, pset, start, wait_for

ON_A_COPY = TOP / "tests" / "packages" / "on-a-copy"
CONF = "/etc/redis/sessiongate.conf"
MODULE = "/usr/lib/redis/modules/sessiongate.so"


def run(*command):
    """What the command prints; its errors are printed by pytest when it fails."""
    return subprocess.run(command, check=True, text=True, cwd=TOP, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def packages():
    """The paths of the .deb and of the .tar.gz, just built."""
    said = run("packaging/build")
    deb, archive = re.findall(r"^built (.*)$", said, re.M)
    return TOP / deb, TOP / archive


@pytest.fixture(scope="module")
def deb(packages):
    return packages[0]


def field(deb, name):
    return run("dpkg-deb", "--field", deb, name).strip()


def contents(path):
    """{path: (mode, content)} of each file in a tar file."""
    with tarfile.open(path) as archive:
        return {"/" + member.name.lstrip("./"): (member.mode, archive.extractfile(member).read())
                for member in archive if member.isfile()}


@pytest.fixture(scope="module")
def in_archive(packages):
    return contents(packages[1])


@pytest.fixture(scope="module")
def in_deb(deb, tmp_path_factory):
    tar = tmp_path_factory.mktemp("deb") / "content.tar"
    with open(tar, "wb") as out:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, stdout=out)
    return contents(tar)


def stated_version():
    return re.search(r'SESSIONGATE_VERSION "(.*)"', (TOP / "src" / "server" / "version.h").read_text())[1]


# What is in them ---------------------------------------------------------------------------------

def test_lintian_finds_neither_error_nor_warning_in_the_package(deb):
    # The suppressed one asks for the number of a bug at Debian, where this is not uploaded to.
    found = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning",
                            "--suppress-tags", "initial-upload-closes-no-bugs", deb],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert found.returncode == 0, found.stdout


def test_the_package_has_these_files_and_no_others(in_deb):
    docs, share = "/usr/share/doc/redis-sessiongate/", "/usr/share/redis-sessiongate/"
    pages = [docs + str(page.relative_to(TOP)) for page in (TOP / "docs").iterdir()]
    assert {path: oct(mode) for path, (mode, _) in in_deb.items()} == {
        MODULE: "0o755", CONF: "0o644", share + "metrics.lua": "0o644",
        share + "grafana.json": "0o644", **dict.fromkeys(pages, "0o644"),
        docs + "README.md": "0o644", docs + "copyright": "0o644",
        docs + "changelog.gz": "0o644", docs + "changelog.Debian.gz": "0o644"}


def test_the_archive_holds_what_the_package_holds(in_deb, in_archive):
    assert in_archive == in_deb


def test_the_package_has_the_version_of_the_header(deb, packages):
    assert field(deb, "Version") == f"{stated_version()}-1"
    assert packages[1].name.startswith(f"sessiongate-{stated_version()}-linux-")


def test_the_version_of_the_header_as_a_number_is_the_same():
    number = re.search(r"SESSIONGATE_VERSION_NUMBER (\d+)", (TOP / "src" / "server" / "version.h").read_text())
    major, minor, patch = map(int, stated_version().split("."))
    assert int(number[1]) == 10000 * major + 100 * minor + patch


def test_the_package_needs_libsodium_and_the_c_library_alone(deb):
    needed = re.sub(r" \([^)]*\)", "", field(deb, "Depends")).split(", ")
    assert sorted(needed) == ["libc6", "libsodium23"]


def test_the_module_of_the_package_exports_its_entry_and_has_no_debugging_symbols(in_deb, tmp_path):
    module = tmp_path / "sessiongate.so"
    module.write_bytes(in_deb[MODULE][1])
    exported = run("nm", "--dynamic", "--defined-only", module).split()[2::3]
    assert exported == ["RedisModule_OnLoad"]
    assert ".debug_info" not in run("readelf", "--section-headers", "--wide", module)


# The configuration -------------------------------------------------------------------------------

def test_the_configuration_lists_each_parameter_with_its_default(in_deb, r):
    listed = re.findall(r"^# (sessiongate\.\S+) (\S+)$", in_deb[CONF][1].decode(), re.M)
    assert listed and dict(listed) == r.config_get("sessiongate.*")


def test_the_configuration_says_the_bounds_of_each_number(in_deb, r):
    said = re.findall(r"\((\d+) to (\d+)\)\.\n# (sessiongate\.\S+)", in_deb[CONF][1].decode())
    assert {name for *_, name in said} == r.config_get("sessiongate.max-*").keys()
    for least, most, name in said:
        for value in (least, most):
            assert r.config_set(name, value)
        for value in (int(least) - 1, int(most) + 1):
            assert error_code(r.config_set, name, value) == "ERR"


# Unpacked ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["redis-bookworm", "valkey-sid"])
@pytest.mark.parametrize("unpack", ["dpkg-deb --extract {deb} {root}", "tar -C {root} -xzf {archive}"],
                         ids=["deb", "archive"])
def test_a_server_serves_sessions_with_the_unpacked_configuration(
        make_server, packages, tmp_path, unpack, name):
    got = subprocess.run([TOP / "tests" / "servers", "get", name], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if got.returncode != 0:
        pytest.skip(got.stdout.strip())
    deb, archive = packages
    run(*(word.format(deb=deb, archive=archive, root=tmp_path) for word in unpack.split()))
    conf = tmp_path / CONF.lstrip("/")
    module = f"{tmp_path}{MODULE}"  # the configuration knows where it would be installed
    conf.write_text(conf.read_text().replace(f"loadmodule {MODULE}", f"loadmodule {module}"))
    server = make_server(name=name, module=None, include=conf)
    live_through_a_session(server.client())
    assert module in re.findall(r"\S+", server.log())


# On a copy of this machine -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def copy():
    """Skips where there can be no copy of this machine to install on."""
    tried = subprocess.run([ON_A_COPY, "true"], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        pytest.skip(f"nothing was installed: {tried.stderr.strip()}")


@contextlib.contextmanager
def served_on_a_copy(script):
    """A client of the server that this shell script becomes at its end; it sees its port in $port."""
    port = Port()
    process = subprocess.Popen([ON_A_COPY, "bash", "-euc", script], cwd=TOP, text=True,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "port": str(port.number)},
                               stdin=subprocess.DEVNULL)
    client = redis.Redis(port=port.number)

    def serves():
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
            return client.ping()
    try:
        wait_for(serves, 60, "the server ready")
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(30)
        port.release()


def live_through_a_session(client):
    token = start(client)
    assert is_token(token)
    pset(client, token, "user", "Ada")
    assert pget(client, token, "user") == b"Ada"
    end(client, token)


# Debian's server as its service starts it: its user, its configuration.
DEBIANS_SERVER = f"""
    echo 'include {CONF}' >>/etc/redis/redis.conf
    install -d -o redis -g redis /run/redis
    exec setpriv --reuid redis --regid redis --init-groups \
        redis-server /etc/redis/redis.conf --daemonize no --port "$port" --logfile '""'
"""


def test_debians_redis_serves_sessions_with_the_installed_package(copy, deb):
    with served_on_a_copy(f"dpkg -i {deb}; {DEBIANS_SERVER}") as client:
        live_through_a_session(client)
        [module] = [module for module in client.module_list() if module[b"name"] == b"sessiongate"]
        if b"path" in module:  # from Redis 7.0.6 on
            assert module[b"path"] == MODULE.encode()


def test_debians_redis_takes_the_parameters_that_are_set_in_the_installed_configuration(copy, deb):
    uncomment = f"sed -i 's/^# sessiongate.max-ttl .*/sessiongate.max-ttl 99/' {CONF}"
    with served_on_a_copy(f"dpkg -i {deb}; {uncomment}; {DEBIANS_SERVER}") as client:
        assert client.config_get("sessiongate.max-ttl") == {"sessiongate.max-ttl": "99"}
        with pytest.raises(redis.ResponseError):
            start(client, ttl=100)


def test_debians_redis_serves_sessions_with_the_archive(copy, packages):
    unpack = f"tar -C / --no-overwrite-dir -xzf {packages[1]}"
    with served_on_a_copy(f"{unpack}; {DEBIANS_SERVER}") as client:
        live_through_a_session(client)


def test_a_removed_package_leaves_its_configuration_and_a_purged_one_nothing(copy, deb, in_deb):
    script = f"""
        dpkg -i {deb} && dpkg --verify redis-sessiongate
        dpkg --remove redis-sessiongate
        ls {' '.join(in_deb)} 2>/dev/null | sed 's/^/left: /' || true
        dpkg --purge redis-sessiongate
        ls {' '.join(in_deb)} 2>/dev/null | sed 's/^/stays: /' || true
    """
    said = run(ON_A_COPY, "bash", "-euc", script)
    assert re.findall("left: (.*)", said) == [CONF]
    assert re.findall("stays: (.*)", said) == []


def test_cmake_installs_a_module_and_a_configuration_that_loads_it(copy):
    script = f"""
        cmake --install {TOP}/build
        exec redis-server /usr/local/etc/redis/sessiongate.conf --port "$port" --dir /tmp --save ''
    """
    with served_on_a_copy(script) as client:
        live_through_a_session(client)


def test_cmake_installs_everything_below_the_prefix_that_it_is_given(make_server, tmp_path):
    prefix = tmp_path / "prefix"
    run("cmake", "--install", "build", "--prefix", prefix)
    installed = (TOP / "build" / "install_manifest.txt").read_text().split("\n")
    conf = prefix / "etc" / "redis" / "sessiongate.conf"
    assert str(conf) in installed
    assert [path for path in installed if not path.startswith(f"{prefix}/")] == []
    assert f"include {conf}\n" in conf.read_text()
    server = make_server(module=None, include=conf)
    live_through_a_session(server.client())
    assert f"{prefix}/lib/redis/modules/sessiongate.so" in server.log()
