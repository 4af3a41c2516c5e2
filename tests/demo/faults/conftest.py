"""What all fault tests need; what an interrupted run of them left is removed first."""

import random
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.demo.conftest import Platform
from tests.demo.faults.support import await_all_healthy, remove_leftovers
from tests.demo.test_pipelines import Branch

SEED = 4


@pytest.fixture(autouse=True)
def intact(platform: Platform) -> Iterator[None]:
    """See that the platform is well before a fault, and well again afterwards."""
    remove_leftovers(platform)
    services = set(platform.containers(stopped=True))
    await_all_healthy(platform, services, 60)
    yield
    remove_leftovers(platform)
    await_all_healthy(platform, services, 120)


@pytest.fixture
def chance() -> random.Random:
    """The same faults in each run."""
    print(f"seed {SEED}")
    return random.Random(SEED)


@pytest.fixture
def branch(platform: Platform, tmp_path: Path) -> Iterator[Branch]:
    """A repository whose branch is pushed to the demo's project."""
    path = tmp_path / f"fault-{uuid4().hex[:8]}"
    path.mkdir()
    made = Branch(platform, path)
    yield made
    made.end()
