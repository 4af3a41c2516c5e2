"""Memory of the idle services."""

from typing import Any

from docker.models.containers import Container

from tests.bench.bench import Bench
from tests.bench.figure import Figure

AT_MOST_MIB = 1.2 * 1024


def used_mib(container: Container) -> float:
    """Memory of a container in MiB as `docker stats` counts it: less the page cache to drop."""
    answer: Any = container.stats(stream=False, one_shot=True)
    stats = answer["memory_stats"]
    # cgroup 1 has both names, and means the group alone by the second; cgroup 2 has that only.
    cache = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
    return float(stats["usage"] - cache) / 1024**2


def measure(bench: Bench) -> None:
    """Take the memory of each service; workspaces apart."""
    platform = bench.platform
    workspaces = platform.plan["workspaces"]
    total = 0.0
    for service, container in sorted(platform.containers().items()):
        used = used_mib(container)
        total += 0 if service in workspaces else used
        bench.add(Figure(service, "MiB", [used], "workspace" if service in workspaces else ""))
    note = "sum over the services, workspaces apart"
    bench.add(Figure("the whole stack", "MiB", [total], note, AT_MOST_MIB))
