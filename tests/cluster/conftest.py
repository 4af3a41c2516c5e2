"""One cluster for all tests here, and one platform on it; others work in their own namespaces."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.access import Clock
from tests import engine
from tests.cluster.cluster import Cluster, chosen
from tests.cluster.platform import ClusterPlatform
from tests.cluster.space import STRAY, Space
from tests.fleet.user import Client, client

KEEP = os.environ.get("DAP_KEEP") == "1"


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A new cluster; removed at the end, with DAP_KEEP=1 kept, and taken by the next run."""
    made = chosen()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with engine.in_use():
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


@pytest.fixture(scope="session")
def platform(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[ClusterPlatform]:
    """The platform after its first deploy; with DAP_KEEP=1 kept, and taken by the next run."""
    made = ClusterPlatform.on(cluster)
    first = made.project.directory / "first.json"
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        if not KEEP or not first.exists():
            with capture.global_and_fixture_disabled():
                clock = Clock()
                clock.say("cluster: a project from the template")
                made.scaffold()
                clock.say("cluster: images for the node")
                made.load()
                clock.say("cluster: dap deploy")
                first.write_text(json.dumps(made.deploy()), encoding="utf-8")
                clock.say("cluster: deployed")
        made.first = json.loads(first.read_text(encoding="utf-8"))
        yield made
    finally:
        if not KEEP:
            first.unlink(missing_ok=True)
            made.project.forget_key()


@pytest.fixture(scope="session")
def user(platform: ClusterPlatform, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The first user's own OpenSSH, with what `make ssh-config` wrote."""
    folder: Path = tmp_path_factory.mktemp("ssh")
    return client(platform.project, platform.plan, platform.cluster.addresses.node, folder)


@pytest.fixture
def here(platform: ClusterPlatform) -> Iterator[Space]:
    """The platform's own namespace, from which what a test has put there goes afterwards."""
    found = Space(platform.cluster, platform.project.name)
    yield found
    kinds = "pods,services,networkpolicies,configmaps,persistentvolumeclaims"
    found.kubectl("delete", kinds, "--ignore-not-found", "--wait", f"--selector=test={STRAY}")


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace of the test's own."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = Space(cluster, name)
    made.make()
    yield made
    made.remove()
