"""The clusters of these tests."""

import pytest

from cluster import Cluster, shared


@pytest.fixture
def make_cluster(new_server):
    """Makes a Cluster of the server under test: make_cluster(masters=2). All are closed after."""
    made = []

    def make(**options):
        made.append(Cluster(new_server, **options))
        return made[-1]
    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture(scope="session")
def kept_clusters():
    """The clusters that several tests share, by the fixture that uses them."""
    kept = {}
    yield kept
    for cluster in kept.values():
        cluster.close()


@pytest.fixture
def cluster(kept_clusters, new_server):
    """Three masters that share the slots evenly, and a replica of each."""
    yield from shared(kept_clusters, "cluster", new_server)


@pytest.fixture
def lopsided(kept_clusters, new_server):
    """Masters without replicas: the first has 64 slots, the second one slot, the third none, and
    the fourth has all others."""
    yield from shared(kept_clusters, "lopsided", new_server, masters=4, replicas=0,
                      shares=[64, 1, 0, 16384 - 65])
