"""One cluster for all tests here; each works in a namespace of its own."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, chosen
from tests.cluster.space import Space

KEEP = os.environ.get("DAP_KEEP") == "1"


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A new cluster; removed at the end, with DAP_KEEP=1 kept, and taken by the next run."""
    made = chosen()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        if not KEEP or not made.there:
            begun = time.monotonic()
            made.up()
            with capture.global_and_fixture_disabled():
                print(f"\ncluster: ready in {time.monotonic() - begun:.1f} s")
        yield made
    finally:
        if not KEEP:
            made.down()


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace of the test's own."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = Space(cluster, name)
    made.make()
    yield made
    made.remove()
