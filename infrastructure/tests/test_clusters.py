"""Clusters beside the platform run its jobs, which find the platform by its names."""

from __future__ import annotations

from acceptance import Compute, Ran
from acceptance.jobs import names_job
from acceptance.lookup import expect_all_at, expect_found


def test_its_services_are_well(compute: Compute) -> None:
    compute.reached()


def test_a_job_runs_there(compute: Compute, pipeline: Ran) -> None:
    compute.reached()
    found = pipeline.output(names_job(compute))
    remedy = "platform_address of this cluster in platform.yml, or what its DNS says"
    if compute.address:
        expect_all_at(found, compute.address, remedy)
    else:
        expect_found(found, remedy)
