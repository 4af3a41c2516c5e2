"""What `make doctor` says of a cluster, from what its API says."""

from __future__ import annotations

from typing import Any

import pytest
from dap.findings import Finding
from dap.stack import health

GIB = 2**30
NEEDED = {"cpu": ("2", "500m"), "memory": ("4Gi", "2Gi")}


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", **rest: Any) -> dict[str, Any]:
    """Return a node that is ready, of this machine's kind."""
    conditions = rest.pop("conditions", [{"type": "Ready", "status": "True"}])
    return {
        "metadata": {"name": name},
        "spec": rest.pop("spec", {}),
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory},
            "conditions": conditions,
            "nodeInfo": {"architecture": rest.pop("architecture", health.here())},
        },
    }


def pod(on: str, *, cpu: str = "0", memory: str = "0", phase: str = "Running") -> dict[str, Any]:
    """Return a pod of somebody else's."""
    requests = {"requests": {"cpu": cpu, "memory": memory}}
    return {
        "spec": {"nodeName": on, "containers": [{"resources": requests}]},
        "status": {"phase": phase},
    }


def judged(*nodes: dict[str, Any], pods: list[dict[str, Any]] | None = None) -> list[Finding]:
    """Return what is said of nodes."""
    return list(health.nodes(nodes, pods or [], NEEDED))


def problem(*nodes: dict[str, Any], pods: list[dict[str, Any]] | None = None) -> str:
    """Return the one problem, which has a remedy."""
    (found,) = (each for each in judged(*nodes, pods=pods) if each.level == "problem")
    assert found.remedy
    return found.what


@pytest.mark.parametrize(
    ("minor", "level"), [("30", "problem"), ("31", "ok"), ("31+", "ok"), ("34", "ok")]
)
def test_versions(minor: str, level: str) -> None:
    said = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    assert health.version(said).level == level


def test_room_is_what_others_leave() -> None:
    (found,) = judged(node("a"), pods=[pod("a", cpu="1", memory="1Gi")])
    assert (found.level, found.where) == ("ok", "room")
    assert "3.0 of processors free on 1 node, 2.0 needed" in found.what
    assert "7.0 GiB of memory free on 1 node, 4.0 GiB needed" in found.what


def test_too_little_room() -> None:
    said = problem(node("a"), pods=[pod("a", memory="5Gi")])
    assert said == "3.0 GiB of memory free on 1 node, 4.0 GiB needed"


def test_what_has_ended_takes_no_room() -> None:
    assert judged(node("a"), pods=[pod("a", memory="5Gi", phase="Succeeded")])[0].level == "ok"


def test_room_that_no_single_node_has() -> None:
    many = [node(name, memory="1.5Gi") for name in "abc"]
    assert "2.0 GiB of memory, and no node has that free" in problem(*many)


def test_nodes_of_another_kind() -> None:
    assert "no node that is ready has processors of the kind" in problem(
        node("a", architecture="z")
    )


def test_a_node_that_is_not_ready_and_one_that_is_closed() -> None:
    down = [{"type": "Ready", "status": "False", "message": "no network"}]
    found = judged(node("a", conditions=down), node("b"))
    assert (found[0].level, found[0].what) == ("problem", "a is not ready: no network")
    assert found[-1].level == "ok"
    assert problem(node("a", spec={"unschedulable": True})) == "none takes pods"


def test_a_node_under_pressure() -> None:
    said = [
        {"type": "Ready", "status": "True"},
        {"type": "DiskPressure", "status": "True", "message": "disk is full"},
    ]
    found = judged(node("a", conditions=said))
    assert ("warning", "a has DiskPressure: disk is full") in [(f.level, f.what) for f in found]


def claim(name: str, phase: str) -> dict[str, Any]:
    """Return a claim of the platform."""
    return {"metadata": {"name": name, "namespace": "dap"}, "status": {"phase": phase}}


def test_a_volume_that_is_not_there_and_why() -> None:
    about = {"kind": "PersistentVolumeClaim", "name": "minio-data"}
    events = [{"involvedObject": about, "message": "no class 'fast'"}]
    claims = [claim("minio-data", "Pending"), claim("kept", "Bound")]
    wrong, well = health.claims(claims, events, "here")
    assert (wrong.level, wrong.what) == ("problem", "the volume is Pending: no class 'fast'")
    assert "--context here --namespace dap describe" in wrong.remedy
    assert (well.level, well.what) == ("ok", "1 are there")


def test_what_was_started_again() -> None:
    def container(count: int, **last: Any) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "portal"}
        state = {"restartCount": count, "lastState": {"terminated": last} if last else {}}
        return {"metadata": {"labels": labels}, "status": {"containerStatuses": [state]}}

    killed = container(2, exitCode=137, reason="OOMKilled")
    failed = container(1, exitCode=3, reason="Error")
    first, second = health.restarts([container(0), killed, failed])
    assert (
        first.what == "ended and was started again (2 times), last with exit status 137, OOMKilled"
    )
    assert "resources.portal.memory" in first.remedy
    assert second.what == "ended and was started again (1 times), last with exit status 3"
    assert second.remedy == "make logs SERVICE=portal says why"


@pytest.mark.parametrize(
    ("size", "free", "level"),
    [(100, 50, "ok"), (100, 8, "warning"), (100, 4, "warning"), (10, 0.4, "problem")],
)
def test_disks(size: int, free: float, level: str) -> None:
    (found,) = health.volumes([health.Volume("a", "n /dev/a", size * GIB, int(free * GIB))])
    assert found.level == level
    assert bool(found.remedy) == (level != "ok")


def test_volumes_that_share_a_disk_are_told_of_once() -> None:
    sharing = [health.Volume(name, "n /dev/a", 100 * GIB, 8 * GIB) for name in ("b", "a")]
    (found,) = health.volumes(sharing)
    assert found.what == "8.0 GiB (8%) free for a, b"


def inside(name: str, network: str, *ports: int) -> dict[str, Any]:
    """Return a pod of the platform on a network."""
    container = {"ports": [{"containerPort": port, "protocol": "TCP"} for port in ports]}
    return {
        "metadata": {"name": name, "labels": {f"net/{network}": "true"}},
        "spec": {"containers": [container]},
        "status": {"podIP": "10.0.0.1"},
    }


def test_pods_that_must_not_reach_each_other() -> None:
    one, other, mute = inside("a", "in", 80), inside("b", "out", 5432), inside("c", "out")
    found = health.apart([one, other, mute], "net")
    assert found is not None
    assert (found[0]["metadata"]["name"], found[1]["metadata"]["name"], found[2]) == (
        "a",
        "b",
        5432,
    )
    assert health.apart([inside("a", "in", 80), inside("b", "in", 80)], "net") is None
