"""A platform is taken off its cluster; nothing is lost without being asked for by name."""

import json
import subprocess

import pytest

from tests.cluster.platform import WORKSPACE, ClusterPlatform
from tests.fleet.user import Client


def test_destroy_keeps_data_until_it_is_asked_for_by_name(
    platform: ClusterPlatform, user: Client
) -> None:
    name = platform.project.name
    user.said(WORKSPACE, "echo still >~/still && sync")
    done = platform.dap("destroy", "--json")
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout)["kept"]
    assert f"workspace-{WORKSPACE}-home" in kept
    left = platform.cluster.get("pods,services,secrets,statefulsets", "--namespace", name)
    assert left["items"] == []
    platform.deploy()
    assert user.said(WORKSPACE, "cat ~/still").strip() == "still"
    done = platform.dap("destroy", "--delete-data", name, "--json")
    assert done.returncode == 0, done.stderr
    with pytest.raises(subprocess.CalledProcessError):
        platform.cluster.get("namespace", name)
    (platform.project.directory / "first.json").unlink()
