"""What a job may take of its host."""

from dataclasses import replace
from typing import Any

import pytest
from dap_pipelines.values import Host, JobLimits, Size

from tests.unit.forge_lite.given import values

VALUES = replace(values(), job=JobLimits("4g", 0, 9))
GIB = 2**30


@pytest.mark.parametrize(
    ("size", "kept", "memory", "cpus"),
    [
        (Size(8, 24 * GIB), {}, "4g", 2),
        (Size(1, 24 * GIB), {}, "4g", 1),
        (Size(8, 4 * GIB), {}, "2048m", 2),
        (Size(2, 9 * GIB), {"kept_cpus": 0.5, "kept_memory": "2g"}, "3584m", 1.5),
        # What is kept of a host that has no more leaves a container that starts, and no more.
        (Size(2, GIB), {"kept_cpus": 4, "kept_memory": "2g"}, "64m", 0.1),
    ],
)
def test_a_job_takes_its_slots_share_of_what_the_host_does_not_keep(
    size: Size, kept: dict[str, Any], memory: str, cpus: float
) -> None:
    host = replace(Host("one", (), slots=2, gpus="all"), **kept)
    assert VALUES.limits(host, size) == JobLimits(memory, cpus, 9, "all")
