"""What a deploy looks at before it changes anything, asked of a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dap.errors import InputError
from dap.settings import Settings
from dap.stack.live import connected
from dap.stack.place import placed

from tests.cluster.cluster import Cluster
from tests.cluster.space import Space
from tests.paths import ROOT
from tests.unit.cluster.conftest import on_cluster

PLATFORM = {"app.kubernetes.io/part-of": "dap"}
PORTS = {"http": 31080, "https": 31443, "ssh": 31222, "postgres": 31432, "workspaces": 31200}


def looked(config: Path, namespace: str, **cluster: Any) -> list[str]:
    """Lines of the refusal of the shipped catalogue; none where the cluster takes it."""
    given = {
        "target": "kubernetes",
        "domain": "dap.test",
        "ports": PORTS,
        "cluster": {"context": "cluster", "slots": 0, "namespace": namespace, **cluster},
    }
    made = on_cluster(ROOT, given).objects
    settings = Settings.model_validate(given)
    with connected(placed(settings, (config,))) as live:
        try:
            live.refuse(settings, made)
        except InputError as error:
            return error.message.splitlines()
    return []


@pytest.fixture
def handed_over(space: Space) -> Space:
    """A namespace that is the platform's."""
    label = "app.kubernetes.io/part-of=dap"
    space.cluster.kubectl("label", "namespace", space.name, label)
    return space


@pytest.fixture
def by_hand(cluster: Cluster, space: Space) -> Iterator[str]:
    """A class whose volumes somebody makes by hand."""
    space.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": space.name},
            "provisioner": "kubernetes.io/no-provisioner",
        }
    )
    yield space.name
    cluster.kubectl("delete", "storageclass", space.name)


def test_an_empty_cluster_takes_a_platform(cluster: Cluster) -> None:
    assert looked(cluster.kubeconfig, "none-there", service="NodePort") == []


def test_a_namespace_is_taken_once_it_is_handed_over(space: Space) -> None:
    (line,) = looked(space.cluster.kubeconfig, space.name)
    told, _, command = line.partition(", or hand it over: kubectl ")
    assert f"cluster.namespace: Namespace {space.name} is there and is somebody else's" in told
    space.cluster.kubectl(*command.split())
    assert looked(space.cluster.kubeconfig, space.name) == []


def test_who_may_little_is_told_what_is_missing(handed_over: Space, tmp_path: Path) -> None:
    space, cluster = handed_over, handed_over.cluster
    space.kubectl("create", "serviceaccount", "weak")
    role = ("--verb=get,list,create,patch,delete", "--resource=configmaps,services,secrets")
    space.kubectl("create", "role", "weak", *role)
    space.kubectl(
        "create", "rolebinding", "weak", "--role=weak", f"--serviceaccount={space.name}:weak"
    )
    token = space.kubectl("create", "token", "weak").strip()
    text = cluster.kubeconfig.read_text()
    begin, end = text.index("  user:\n    client-certificate-data"), text.index("contexts:")
    weak = tmp_path / "weak"
    weak.write_text(f"{text[:begin]}  user:\n    token: {token}\n{text[end:]}")
    (line,) = looked(weak, space.name)
    told = line.partition(f" in namespace {space.name}: ")[2].split("; ")
    missing = {part.rpartition(" ")[2]: part.rpartition(" ")[0] for part in told}
    assert not {"configmaps", "services", "secrets"} & set(missing)
    assert missing["namespaces"] == "get, patch"
    assert missing["statefulsets"] == "create, delete, get, list, patch"
    assert missing["pods/log"] == "get"


def test_what_is_somebody_else_s_is_told_by_name(handed_over: Space) -> None:
    space = handed_over
    space.kubectl("create", "secret", "generic", "minio")
    space.kubectl("create", "secret", "generic", "unrelated")
    (line,) = looked(space.cluster.kubeconfig, space.name)
    assert "cluster.namespace: Secret minio is there and is somebody else's" in line


def test_a_quota_that_is_too_small_and_a_port_that_is_taken(handed_over: Space) -> None:
    space = handed_over
    space.kubectl("create", "quota", "team", "--hard=requests.memory=1Gi,requests.cpu=64")
    port = {"port": 80, "nodePort": PORTS["https"]}
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [port]},
        }
    )
    quota, taken = looked(space.cluster.kubeconfig, space.name, service="NodePort")
    assert f"ResourceQuota team of namespace {space.name} gives requests.memory" in quota
    name = f"Service web of namespace {space.name}"
    assert taken == f"platform.yml:1: ports: NodePort {PORTS['https']} is taken by {name}"


def test_a_class_without_provisioner_and_one_that_is_not_there(
    cluster: Cluster, by_hand: str
) -> None:
    (line,) = looked(cluster.kubeconfig, "none-there", storage_class=by_hand)
    assert "makes no volumes by itself" in line
    (line,) = looked(cluster.kubeconfig, "none-there", storage_class="none")
    assert "cluster.storage_class: is no storage class of the cluster" in line
    assert by_hand in line
