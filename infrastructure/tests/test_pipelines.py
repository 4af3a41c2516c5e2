"""A push starts a pipeline, which ends well."""

from __future__ import annotations

from acceptance import Ran, expect_none


def test_a_push_runs_its_pipeline(pipeline: Ran) -> None:
    failed = [
        f"the job {name} is {job.status}"
        for name, job in pipeline.jobs.items()
        if job.status != "success"
    ]
    expect_none(failed, "the checks of the folders that the jobs are named after tell more")
