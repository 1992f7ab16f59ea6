"""The metrics: what Debian's prometheus-redis-exporter makes of packaging/metrics.lua, and what the
dashboard, packaging/grafana.json, asks of them."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import urllib.request

import pytest

from harness import TOP, Port, end, error_code, pget, pset, signed, start, wait_for

SCRIPT = TOP / "packaging" / "metrics.lua"
DASHBOARD = json.loads((TOP / "packaging" / "grafana.json").read_text())
EXPORTER = shutil.which("prometheus-redis-exporter")
pytestmark = pytest.mark.skipif(not EXPORTER, reason="prometheus-redis-exporter is not installed; "
                                                     "./bootstrap.sh --tests installs it")


@contextlib.contextmanager
def exported(server, *arguments):
    """A function that asks an exporter of this server for its metrics, {name and labels: value}."""
    port = Port()
    with open(server.directory / "stderr", "ab") as log:
        process = subprocess.Popen(
            [EXPORTER, "-redis.addr", f"redis://127.0.0.1:{server.port}", "-web.listen-address",
             f"127.0.0.1:{port.number}", "-script", SCRIPT, *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def metrics():
        with urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    def serves():
        assert process.poll() is None, f"the exporter ended with status {process.returncode}"
        with contextlib.suppress(OSError):
            return metrics()
    try:
        wait_for(serves, 30, "the exporter ready")
        yield metrics
    finally:
        process.terminate()
        process.wait(30)
        port.release()


def of_sessiongate(metrics):
    """{name: number} of those that the script returned."""
    assert metrics["redis_up"] == "1"
    return {name.split('"')[1]: int(value) for name, value in metrics.items()
            if name.startswith("redis_script_values{")}


def test_each_counter_of_info_is_exported_with_its_value(server, r):
    token = start(r)
    pset(r, token, "user", "Ada")
    pget(r, token, "user")
    end(r, token)
    assert error_code(pget, r, token, "user") == "NOSESSION"
    assert error_code(pget, r, signed(b"another sign key"), "user") == "BADSIGNATURE"
    start(r)
    info = {name.removeprefix("sessiongate_"): value for name, value in r.info("sessiongate").items()}
    del info["version"], info["build"]  # no numbers
    assert info["sessions_started"] >= 2 and info["payload_writes"] and info["refused_no_session"]
    with exported(server) as metrics:
        assert of_sessiongate(metrics()) == info
        start(r)
        assert of_sessiongate(metrics())["sessions_started"] == info["sessions_started"] + 1


def test_the_user_for_the_exporter_sees_the_counters_and_no_tokens(server, r):
    comment = SCRIPT.read_text().replace("\\\n--", "")
    [rules] = re.findall(r"^-- +ACL SETUSER exporter (.*)$", comment, re.M)
    r.execute_command("ACL", "SETUSER", "exporter", *shlex.split(rules))
    with exported(server, "-redis.user", "exporter", "-redis.password", "a password",
                  "-config-command", "-") as metrics:
        assert of_sessiongate(metrics())["sessions_live"] == 0
    refused = {entry["object"] for entry in r.acl_log() if entry["username"] == "exporter"}
    assert refused == {"slowlog|get"}  # it would show the arguments of slow commands
    for command in (["SESSIONGATE.START", "key", 60], ["SCAN", 0], ["GET", signed()],
                    ["SESSIONGATE.PGET", "key", signed(), "name"], ["CONFIG", "GET", "*"],
                    ["SLOWLOG", "GET"], ["MONITOR"]):
        assert r.execute_command("ACL", "DRYRUN", "exporter", *command) != b"OK", command


def test_a_server_without_the_module_is_exported_all_the_same(make_server):
    with exported(make_server(module=None)) as metrics:
        assert of_sessiongate(metrics()) == {}


def expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_each_metric_that_is_exported_and_for_no_other(server):
    asked = {f'{name}{{key="{key}"}}' if key else name
             for expression in expressions() for name, key in
             re.findall(r'(\w+)\{(?:key="(\w+)",)?instance=~"\$instance"\}', expression)}
    with exported(server) as metrics:
        names = {re.sub(r'\{.*?(key="\w+").*\}', r"{\1}", name) for name in metrics()
                 if name == "redis_up" or name.startswith("redis_script_values{")}
    uncounted = {'redis_script_values{key="tokens_expired"}'}  # by Valkey 8
    assert asked - names <= uncounted and names - asked == set()


def test_the_dashboard_shows_what_counts_as_a_rate_and_what_is_there_as_it_is():
    for expression in expressions():
        a_state = "sessions_live" in expression or "redis_up" in expression
        assert ("rate(" in expression) == (not a_state), expression


def test_the_panels_of_the_dashboard_lie_side_by_side():
    taken = [(x, y) for panel in DASHBOARD["panels"] for at in [panel["gridPos"]]
             for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
