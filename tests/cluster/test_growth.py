"""A platform with many workspaces, whose pods are none: all else of them is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import fakes
from tests.cluster.cluster import Cluster
from tests.cluster.growing import GrowingPlatform

COUNT = 30


@dataclass(frozen=True)
class Ran:
    """A deploy: what it changed, as `operation KIND/name`."""

    changes: set[str]
    content: int


@pytest.fixture(scope="module")
def platform(cluster: Cluster) -> Iterator[GrowingPlatform]:
    """A platform without workspaces after its first deploy; taken off at the end."""
    made = GrowingPlatform.on(cluster)
    made.scaffold()
    made.load()
    with fakes.fake_nodes(cluster, COUNT):
        made.grow(0)
        made.deploy()
        yield made
        made.dap("destroy", "--delete-data", made.project.name).check_returncode()
    made.project.forget_key()


def ran(platform: GrowingPlatform) -> Ran:
    said = platform.deploy()
    return Ran(
        {f"{each['operation']} {each['object']}" for each in said["changes"]}, said["content"]
    )


def own(platform: GrowingPlatform, name: str) -> dict[str, Any]:
    """The objects of a workspace by kind: its UID and generation."""
    kinds = "statefulsets,services,secrets,configmaps"
    space = ("--namespace", platform.project.name)
    which = f"--selector=app.kubernetes.io/name={name}"
    found = json.loads(platform.cluster.kubectl("get", kinds, *space, which, "--output", "json"))
    return {each["kind"]: each["metadata"]["uid"] for each in found["items"]}


def test_workspaces_come_change_and_go_one_by_one(platform: GrowingPlatform) -> None:
    platform.grow(COUNT)
    came = ran(platform)
    names = [each["name"] for each in fakes.workspaces(COUNT)]
    assert {f"create StatefulSet/{name}" for name in names} <= came.changes
    pods = platform.pods()
    assert {pods[f"{name}-0"]["spec"]["nodeName"][:4] for name in names} == {fakes.NAME}
    assert ran(platform) == Ran(set(), 0)

    changed, gone = names[3], names[-1]
    platform.grow(COUNT, **{changed: {"memory": "3g"}})
    touched = ran(platform).changes
    workloads = {each for each in touched if "StatefulSet" in each or "PersistentVolume" in each}
    assert workloads == {f"update StatefulSet/{changed}"}

    platform.grow(COUNT - 1, **{changed: {"memory": "3g"}})
    less = ran(platform).changes
    assert {each for each in less if each.startswith("delete")} == {
        f"delete {kind}/{gone}" for kind in ("StatefulSet", "Service", "Secret")
    }
    assert own(platform, gone) == {}
    claim = f"workspace-{gone}-home"
    claims = platform.cluster.get("pvc", "--namespace", platform.project.name)["items"]
    assert claim in {each["metadata"]["name"] for each in claims}
    # It comes back to its volume, though that was counted already.
    platform.grow(COUNT, **{changed: {"memory": "3g"}})
    assert f"create StatefulSet/{gone}" in ran(platform).changes
