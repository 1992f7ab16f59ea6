"""Django's own tests with our engine in place of Django's, for each Django that `test` has brought.

sessions_tests' SessionTestsMixin, which every one of Django's engines has to pass, passes whole. Of the
applications' tests those fail that FAILURES names, each for the reason that it gives, and no other.
"""

import json
import os
import re
import subprocess

import pytest
from support import TOP

BROUGHT = TOP / "build" / "clients" / "python"
HERE = TOP / "clients" / "python"

FAILURES = {
    "sessions_tests.tests.SessionMiddlewareTests.test_empty_session_saved": (
        ["5.2", "newest"],
        "reads the row of the session in the table of Django's database engine, which is empty",
    ),
    "auth_tests.test_middleware.TestLoginRequiredMiddleware.test_protected_view_logged_in_performance": (
        ["newest"],
        "counts SQL queries, one for the session among them; ours costs none",
    ),
}

APPS = ["sessions_tests", "messages_tests", "test_client", "test_client_regress", "csrf_tests"]


def labels(tests):
    """The tests to run: auth_tests without test_hashers, two minutes of hashing passwords."""
    auth = sorted(path.stem for path in (tests / "auth_tests").glob("test_*.py"))
    return [*APPS, *(f"auth_tests.{name}" for name in auth if name != "test_hashers")]


@pytest.mark.parametrize("version", ["5.2", "newest"])
def test_djangos_own_tests_fail_where_their_list_says_so_alone(server, version):
    brought = BROUGHT / f"django-{version}"
    if not (brought / "source" / "tests" / "runtests.py").exists():
        why = brought / "missing"
        pytest.skip(why.read_text().strip() if why.exists() else "clients/python/test brings Django's tests")
    site = {"LOCATION": f"redis://127.0.0.1:{server.port}"}
    run = subprocess.run(
        [
            brought / "venv" / "bin" / "python",
            "runtests.py",
            "--settings=django_suite_settings",
            "--parallel=2",
            "sessiongate_tests",
            *labels(brought / "source" / "tests"),
        ],
        cwd=brought / "source" / "tests",
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{HERE / 'src'}:{HERE / 'tests' / 'django_suite'}",
            "SESSIONGATE": json.dumps(site),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ran = re.search(r"^Ran (\d+) tests", run.stdout, re.MULTILINE)
    assert ran, run.stdout[-5000:]
    failed = set(re.findall(r"^(?:FAIL|ERROR): \S+ \((\S+)\)", run.stdout, re.MULTILINE))
    expected = {name for name, (versions, _) in FAILURES.items() if version in versions}
    assert failed == expected, run.stdout[-5000:]
    assert int(ran[1]) > 1800
