"""What all tests share: their order, and who runs them."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"
FAULTS = DEMO / "faults"  # leave the platform well, but with a past
LAST = DEMO / "test_destroy.py"  # removes the platform


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One worker has the demo's platform from the start, the others have the rest."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/fleet/baseline/"):
            return "baseline"
        return "demo" if nodeid.startswith("tests/demo/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Give xdist the way to share out the tests."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what deploys the demo, and put it last."""
    for item in items:
        if item.path.is_relative_to(DEMO):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.slow)
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """Give the item's place: 0 for all that need no platform."""
    if not item.path.is_relative_to(DEMO):
        return 0
    if item.path == LAST:
        return 3
    return 2 if item.path.is_relative_to(FAULTS) else 1
