"""Fresh hosts for the baseline: a service host, a runner host and a stranger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engine
from tests.fleet.hosts import Fleet, FreshHost, members

# Its own, so that it can be there beside the fleet of other tests.
NAME, NUMBER = "baseline", 24


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Hosts that nothing was ever deployed to; with DAP_KEEP=1 they stay for a look at them."""
    made = Fleet(NAME, NUMBER, members(3))
    with engine.in_use():
        made.up()
        yield made
        if not os.environ.get("DAP_KEEP"):
            made.down()


@pytest.fixture(scope="module")
def hub(fleet: Fleet) -> FreshHost:
    """The service host."""
    return fleet.hosts["hub"]


@pytest.fixture(scope="module")
def runner(fleet: Fleet) -> FreshHost:
    """A runner host, reached as another account at another port."""
    return fleet.hosts["r1"]


@pytest.fixture(scope="module")
def stranger(fleet: Fleet) -> FreshHost:
    """A host on the same network that has no part in it."""
    return fleet.hosts["r2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where inventories and logs are."""
    return tmp_path_factory.mktemp("baseline")
