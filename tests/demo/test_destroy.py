"""destroy keeps the data unless its deletion is asked for by name."""

import os
import subprocess

import pytest

from tests.demo.conftest import Platform
from tests.programs import tried


def destroy(platform: Platform, *variables: str) -> "subprocess.CompletedProcess[str]":
    return tried(platform.project.path, "make", "destroy", *variables)


def test_another_name_deletes_nothing(platform: Platform) -> None:
    before = platform.volumes()
    started = platform.started()
    done = destroy(platform, "DELETE_DATA=yes")
    assert done.returncode == 2
    assert platform.volumes() == before
    assert platform.started() == started


def test_destroy_keeps_the_data_and_a_deploy_brings_it_back(platform: Platform) -> None:
    before = platform.volumes()
    assert len(before) >= 4
    run = platform.admin.run(platform.outcome.run["info"]["run_id"])
    done = destroy(platform)
    assert done.returncode == 0, done.stderr
    assert platform.containers(stopped=True) == {}
    assert platform.volumes() == before
    platform.project.make("deploy")
    assert platform.admin.run(run["info"]["run_id"]) == run


@pytest.mark.skipif(os.environ.get("DAP_KEEP") == "1", reason="DAP_KEEP=1 keeps the platform")
def test_destroy_deletes_the_data_when_told_so_by_name(platform: Platform) -> None:
    done = destroy(platform, f"DELETE_DATA={platform.name}")
    assert done.returncode == 0, done.stderr
    assert platform.containers(stopped=True) == {}
    assert platform.volumes() == set()
    label = f"com.docker.compose.project={platform.name}"
    assert platform.docker.networks.list(filters={"label": label}) == []
