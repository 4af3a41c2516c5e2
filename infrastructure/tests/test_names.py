"""The platform's names lead to its proxy: in workspaces and in jobs."""

from __future__ import annotations

import pytest
from acceptance import Place, Ran, Workspace
from acceptance.jobs import names_job
from acceptance.lookup import expect_all_at, found_by


def test_names_in_a_workspace(workspace: Workspace) -> None:
    found = found_by(workspace.run, workspace.host)
    expect_all_at(found, workspace.host.address(workspace.host.entry), "make deploy")


def test_names_in_a_job(host: Place, pipeline: Ran) -> None:
    if not host.runs_jobs:
        pytest.skip("it runs no jobs")
    found = pipeline.output(names_job(host))
    expect_all_at(found, host.address(host.entry), "make deploy")
