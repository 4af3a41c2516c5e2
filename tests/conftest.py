"""What all tests share: their order, and who runs them."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"
FLEET = HERE / "fleet"
FAULTS = DEMO / "faults"  # leave the platform well, but with a past
FLEET_FAULTS = FLEET / "test_faults.py"
LAST = DEMO / "test_destroy.py"  # removes the platform
# Each has hosts that its tests share.
GROUPS = {
    "demo": "tests/demo/",
    "baseline": "tests/fleet/baseline/",
    "fleet": "tests/fleet/",
}


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A worker that begins a group has all of it; the demo's comes first."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group, place in GROUPS.items() if nodeid.startswith(place)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Give xdist the way to share out the tests."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what deploys a platform, and put it last."""
    for item in items:
        if item.path.is_relative_to(DEMO) or item.path.is_relative_to(FLEET):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.slow)
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """Give the item's place: 0 for all that need no platform."""
    if item.path.is_relative_to(FLEET):
        return 2 if item.path == FLEET_FAULTS else 1
    if not item.path.is_relative_to(DEMO):
        return 0
    if item.path == LAST:
        return 5
    return 4 if item.path.is_relative_to(FAULTS) else 3
