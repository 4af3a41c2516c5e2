"""Workspaces that run nothing: pods on nodes that are none, which kwok says are well.

So a platform can have a thousand workspaces where there is room for ten. All else of it is real:
their objects, their volumes, what places them, and every other service on the real node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.fleet.hosts import Entry, archive

LABEL, VALUE = "kwok.x-k8s.io/node", "fake"
NAME = "fake"  # of a node, with a number
PODS = 110  # that a node takes, as the kubelet's default is
# Of benchmarks of networks (RFC 2544): nobody answers there.
ADDRESSES = "198.18.0.0/16"
STAGES = Path(__file__).with_suffix(".yaml")
KWOK = (
    "kwok --kubeconfig /root/.kube/config --config /etc/kubernetes/kwok.yaml "
    "--node-lease-duration-seconds 40 "
    f"--manage-nodes-with-label-selector={LABEL}={VALUE} --cidr={ADDRESSES}"
)
PLACED = {
    "node_selector": {LABEL: VALUE},
    "tolerations": [{"key": LABEL, "value": VALUE, "effect": "NoSchedule"}],
}
"""What a workspace's settings say to be on such a node."""


@contextmanager
def fake_nodes(cluster: Cluster, pods: int) -> Iterator[None]:
    """Have nodes for so many pods; removed at the end, with what is on them.

    Raises:
        subprocess.CalledProcessError: one is not ready in time.
    """
    nodes = [_node(number) for number in range(-(-pods // PODS))]
    remove(cluster)
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes})
    cluster.kubectl("apply", "--server-side", "-f", "-", given=given)
    stages = {"etc/kubernetes/kwok.yaml": Entry(STAGES.read_text(encoding="utf-8"), 0o600)}
    cluster.container.put_archive("/", archive(stages))
    cluster.container.exec_run(["sh", "-c", f"exec {KWOK} >>/run/log/kwok 2>&1"], detach=True)
    try:
        every = ("nodes", f"--selector={LABEL}={VALUE}", "--timeout=30s")
        cluster.kubectl("wait", "--for=condition=Ready", *every)
        yield
    finally:
        remove(cluster)
        cluster.execute("pkill", "-x", "kwok")


def remove(cluster: Cluster) -> None:
    """Remove such nodes; Kubernetes then removes the pods that were there."""
    cluster.kubectl("delete", "nodes", f"--selector={LABEL}={VALUE}")


def workspaces(count: int) -> list[dict[str, Any]]:
    """What the settings say of so many people's workspaces on such nodes."""
    return [
        {"name": f"{name}-w", "owner": name, "environment": "python", **PLACED}
        for name in people(count)
    ]


def users(count: int) -> list[dict[str, Any]]:
    """What the settings say of so many people."""
    return [{"name": name, "email": f"{name}@dap.test"} for name in people(count)]


def people(count: int) -> list[str]:
    """The names of so many people."""
    return [f"u{number:04}" for number in range(count)]


def _node(number: int) -> dict[str, Any]:
    name = f"{NAME}-{number:02}"
    labels = {LABEL: VALUE, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    room = {"cpu": "1k", "memory": "64Ti", "pods": str(PODS)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": LABEL, "value": VALUE, "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }
