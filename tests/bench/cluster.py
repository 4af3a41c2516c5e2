"""A platform on a Kubernetes of one node."""

from __future__ import annotations

import json

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.timing import seconds
from tests.cluster.cluster import chosen
from tests.cluster.platform import ClusterPlatform

FIRST_S = 180
NO_CHANGE_S = 10


def measure(bench: Bench) -> None:
    """Time what its operator does on an empty cluster whose node has the images."""
    cluster = chosen()
    platform = ClusterPlatform.on(cluster)
    cluster.up()
    try:
        platform.scaffold()
        platform.load()
        deployed = seconds(platform.deploy)
        verified = seconds(lambda: verify(platform))
        bench.add(
            Figure(
                *("from an empty cluster to accepted", "s", [deployed + verified]),
                "`make deploy`, then `make verify`; the node has the images",
                FIRST_S,
            ),
            Figure("`make deploy` on an empty cluster", "s", [deployed], "part of that"),
            Figure("`make verify`", "s", [verified], "part of that"),
        )
        same = [seconds(platform.deploy) for _ in range(bench.repeats)]
        bench.add(Figure("`make deploy`, nothing to change", "s", same, at_most=NO_CHANGE_S))
    finally:
        cluster.down()
        platform.project.forget_key()


def verify(platform: ClusterPlatform) -> None:
    """Have the platform proven."""
    done = platform.dap("verify", "--json")
    if not json.loads(done.stdout)["ok"]:
        raise RuntimeError(done.stdout)
