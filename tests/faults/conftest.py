"""What the fault tests share: one seed, and sizes that the environment may set.

    FAULTS_SEED       a number: repeats the random choices of a run that printed it
    FAULTS_ROUNDS     how often the tests of kill -9 and of killed links strike [each test's own]
    FAULTS_PAYLOADS   how many corrupt payloads are restored [5000; 100000 by the test marked full]

A run prints its seed at the top. Which operations a seed chooses is fixed; when a fault strikes
among them is up to the machine.
"""

import os
import random

import pytest

SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**9))


def pytest_report_header():
    return f"fault tests: FAULTS_SEED={SEED} repeats this run's random choices"


@pytest.fixture
def rng(request):
    """A random.Random of this test's own, from the seed of the run."""
    print(f"FAULTS_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def rounds():
    """rounds(5): how many rounds to run, unless the environment says otherwise."""
    return lambda default: int(os.environ.get("FAULTS_ROUNDS") or default)
