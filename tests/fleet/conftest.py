"""A platform on three fresh hosts, deployed once; tests here take it further, in their order."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from demo.access import Clock
from tests.fleet.hosts import chosen
from tests.fleet.platform import WORKSPACES, FleetPlatform
from tests.fleet.user import Client, Clone, client

KEEP = os.environ.get("DAP_KEEP") == "1"


@pytest.fixture(scope="session")
def platform(pytestconfig: pytest.Config) -> Iterator[FleetPlatform]:
    """The platform after its first `make deploy`.

    Removed with its hosts at the end; with DAP_KEEP=1 kept, and taken as it is by the next run.
    """
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    made = FleetPlatform.on(chosen())
    first = made.fleet.directory / "first.json"
    if KEEP and first.exists():
        made.first = json.loads(first.read_text(encoding="utf-8"))
        yield made
        return
    try:
        with capture.global_and_fixture_disabled():
            print()
            prepare(made, Clock())
        first.write_text(json.dumps(made.first), encoding="utf-8")
        yield made
    finally:
        if not KEEP:
            first.unlink(missing_ok=True)
            made.fleet.down()
            made.project.forget_key()


def prepare(made: FleetPlatform, clock: Clock) -> None:
    """Make the hosts and deploy to them, saying how long each step takes."""
    clock.say("fleet: a project from the template")
    made.scaffold(list(made.fleet.hosts), WORKSPACES)
    clock.say("fleet: fresh hosts")
    made.fleet.up()
    clock.say("fleet: images for the service host")
    made.seed()
    clock.say("fleet: make deploy")
    made.first = made.deploy()
    clock.say(f"fleet: {made.first['changed']} changes")


@pytest.fixture(scope="session")
def user(platform: FleetPlatform, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The first user's own OpenSSH, with what `make ssh-config` wrote."""
    folder: Path = tmp_path_factory.mktemp("ssh")
    return client(platform.project, platform.plan, platform.hub.front, folder)


@pytest.fixture
def clone(platform: FleetPlatform, tmp_path: Path, request: pytest.FixtureRequest) -> Clone:
    """A repository whose pipelines are pushed to a branch of the test's own."""
    path = tmp_path / f"{request.node.originalname[:40].replace('_', '-')}-{uuid4().hex[:6]}"
    path.mkdir()
    return Clone(platform, path)


@pytest.fixture
def chance() -> random.Random:
    """The same faults in each run."""
    return random.Random(6)
