"""What all tests share: their order. Cheap ones first; beside others, the demo's platform first."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"
FAULTS = DEMO / "faults"  # leave the platform well, but with a past
LAST = DEMO / "test_destroy.py"  # removes the platform


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what deploys the demo: one worker runs all of it, from the start, others the rest."""
    for item in items:
        if item.path.is_relative_to(DEMO):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("demo"))
    cheap = 4 if hasattr(config, "workerinput") else 0
    items.sort(key=lambda item: rank(item) or cheap)


def rank(item: pytest.Item) -> int:
    """Give the item's place: 0 for all that need no platform."""
    if not item.path.is_relative_to(DEMO):
        return 0
    if item.path == LAST:
        return 3
    return 2 if item.path.is_relative_to(FAULTS) else 1
