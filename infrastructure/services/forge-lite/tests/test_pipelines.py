"""Pipelines show no secret, and the account that `make verify` pushes with can't do more."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from acceptance import Deployed, expect, expect_none
from acceptance.jobs import provider
from acceptance.leaks import Leaks

ACCOUNT = "dap.verify"
STATE = "/var/lib/pipelines"
SERVER, WORKER = "git", "pipelines"
SHOWN = ("-name", "*.json", "-o", "-name", "*.log")


def test_no_secret_in_pipelines(platform: Deployed, leaks: Leaks) -> None:
    """In states and logs of all pipelines that are kept, as the pages show them."""
    if WORKER not in {service.name for service in platform.services}:
        pytest.skip("no pipelines run here: slots is 0")
    # Pages show folders of projects; beside them is what a running pipeline works with.
    shown = ("-type", "f", "-not", "-path", "{}/.*", "(", *SHOWN, ")")
    files = platform.files(WORKER, STATE, *shown)
    expect(files, f"{WORKER} has nothing in {STATE}", "make deploy")
    found = leaks.where(
        (f"the page of a pipeline, {path},", file.content or b"") for path, file in files.items()
    )
    expect_none(found, "pipeline logs and pages are masked: whose job got round that?")


@pytest.fixture
def server(platform: Deployed, tmp_path: Path) -> Any:
    """The git server, as the account for checks reaches it."""
    runner: Any = provider(platform)
    return runner.Server(platform, tmp_path)


def test_git_gives_no_shell(server: Any) -> None:
    for words in (["cat", "/etc/passwd"], []):
        command = server.line(*words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        expect("root:" not in done.stdout, f"git over SSH runs {words or 'a shell'}", "make deploy")


def test_the_account_of_verify_writes_its_own_branches_alone(platform: Deployed) -> None:
    may = [
        f"{ACCOUNT} may push {ref} of {project.name}"
        for project in platform.settings.projects
        for ref in ("refs/heads/main", "refs/heads/other", "refs/tags/1")
        if not _denied(platform, project.name, ref)
    ]
    expect_none(may, "make deploy")


def _denied(platform: Deployed, project: str, ref: str) -> bool:
    command = ["gitolite", "access", "-q", project, ACCOUNT, "W", ref]
    return platform.host_of(SERVER).do_in(SERVER, *command).returncode != 0
