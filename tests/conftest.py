"""What all tests share: their order, and who runs them."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).resolve().parent
DEMO = HERE / "demo"
FLEET = HERE / "fleet"
GITLAB = HERE / "gitlab"  # starts from the demo's base image
CLUSTER = HERE / "cluster"
PULUMI = HERE / "pulumi"
WITH_ENGINE = (DEMO, GITLAB, FLEET, CLUSTER, PULUMI)
FAULTS = DEMO / "faults"  # leave the platform well, but with a past
BASELINE = FLEET / "baseline"
FLEET_FAULTS = FLEET / "test_faults.py"
GITOPS = FLEET / "test_gitops.py"  # has a host of its own
# What `make test` leaves to other commands, but for what it has of it.
LONG = (FLEET_FAULTS, FLEET / "test_verify.py", GITOPS, PULUMI, CLUSTER)
PLATFORM_ON_CLUSTER = (CLUSTER / "test_platform.py", CLUSTER / "test_platform_verify.py")
LAST = DEMO / "test_destroy.py"  # removes the platform
# HERE is what needs neither platform nor hosts.
ORDER = (
    *(DEMO, FAULTS, LAST, GITLAB, GITOPS, FLEET, FLEET_FAULTS),
    *(HERE, PULUMI, CLUSTER, BASELINE),
)
# Group → what is in it. Two platforms at work at once would make each other late: the hosts that
# many tests share come after the demo, on the same worker. The cluster and the baseline's hosts
# come last on the other one: on a new machine the demo first builds all its images.
GROUPS = {
    "baseline": ("tests/fleet/baseline/",),
    "cluster": ("tests/cluster/",),
    "platforms": ("tests/demo/", "tests/gitlab/", "tests/fleet/"),
}


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A worker that begins a group has all of it."""

    def _split_scope(self, nodeid: str) -> str:
        found = (group for group, places in GROUPS.items() if nodeid.startswith(places))
        return next(found, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Give xdist the way to share out the tests: in their own order."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what deploys a platform or has a cluster, and put it first: it takes the longest."""
    for item in items:
        if any(item.path.is_relative_to(place) for place in WITH_ENGINE):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.slow)
        long = any(item.path.is_relative_to(place) for place in LONG)
        if long and item.path not in PLATFORM_ON_CLUSTER:
            item.add_marker(pytest.mark.long)
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """Give the item's place in the order: that of the innermost folder, or file, that has it."""
    of = [place for place in ORDER if item.path.is_relative_to(place)]
    return ORDER.index(max(of, key=lambda place: len(place.parts)))
