"""What all tests share: cheap ones first, the demo's platform last."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"
FAULTS = DEMO / "faults"  # leave the platform well, but with a past
LAST = DEMO / "test_destroy.py"  # removes the platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what deploys the demo, and put it last."""
    for item in items:
        if item.path.is_relative_to(DEMO):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("demo"))
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """Give the item's place: 0 for all that need no platform."""
    if not item.path.is_relative_to(DEMO):
        return 0
    if item.path == LAST:
        return 3
    return 2 if item.path.is_relative_to(FAULTS) else 1
