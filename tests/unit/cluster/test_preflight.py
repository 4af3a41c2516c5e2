"""What keeps a cluster from taking a platform is told before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dap.cluster import Objects
from dap.errors import DapError, InputError
from dap.settings import Settings
from dap.stack.live import connected
from dap.stack.place import placed

from tests.paths import ROOT
from tests.unit.cluster.conftest import ON_CLUSTER, on_cluster
from tests.unit.cluster.server import Server, serving

HERE = "/api/v1/namespaces/dap"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}
OURS = {"app.kubernetes.io/part-of": "dap"}
FAST = {"metadata": {"name": "fast", "annotations": DEFAULT}, "provisioner": "csi.example.org"}
BY_HAND = {"metadata": {"name": "hand"}, "provisioner": "kubernetes.io/no-provisioner"}
VERBS = ("get", "list", "create", "patch", "delete")
RESOURCES = (
    *(
        "configmaps",
        "deployments",
        "ingresses",
        "jobs",
        "limitranges",
        "networkpolicies",
        "pods",
        "secrets",
    ),
    *("persistentvolumeclaims", "poddisruptionbudgets", "resourcequotas", "serviceaccounts"),
    *("rolebindings", "roles", "services", "statefulsets"),
)
ON_NODES: dict[str, Any] = {
    "cluster": {"service": "NodePort"},
    "ports": {"http": 30080, "https": 30443, "ssh": 30222, "postgres": 30432, "workspaces": 30200},
}


@pytest.fixture
def server() -> Server:
    """An empty cluster with a default class, and an account that may all."""
    return Server({CLASSES: [FAST]})


@pytest.fixture(scope="module")
def platform() -> Objects:
    return on_cluster(ROOT, {}).objects


def looked(server: Server, folder: Path, objects: Objects | None = None, **more: Any) -> list[str]:
    """Lines of the refusal; none where the cluster takes the platform."""
    cluster = {**ON_CLUSTER["cluster"], **more.pop("cluster", {})}
    settings = Settings.model_validate({**ON_CLUSTER, **more, "cluster": cluster})
    made = objects or on_cluster(ROOT, {**more, "cluster": cluster}).objects
    found: list[str] = []
    with serving(server, folder) as config, connected(placed(settings, (config,))) as live:
        try:
            live.refuse(settings, made)
        except InputError as error:
            found = error.message.splitlines()
    beside = "/apis/authorization.k8s.io/"
    assert {method for method, path in server.asked if beside not in path} == {"GET"}
    return found


def test_an_empty_cluster_is_taken(server: Server, tmp_path: Path, platform: Objects) -> None:
    assert looked(server, tmp_path, platform) == []
    assert len(server.asked) < 20, "one question for each kind at most"


def test_the_platform_s_own_is_taken(server: Server, tmp_path: Path, platform: Objects) -> None:
    server.wide = {"get namespaces", "patch namespaces"}
    server.things |= {
        HERE: {"metadata": {"name": "dap", "labels": OURS}},
        f"{HERE}/secrets": [{"metadata": {"name": "minio", "labels": OURS}}],
    }
    assert looked(server, tmp_path, platform) == []


def test_what_may_not_be_done_is_told_by_verb_and_resource(
    server: Server, tmp_path: Path, platform: Objects
) -> None:
    server.wide = set()
    every = ["get", "list", "create", "patch", "delete"]
    server.rules = [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["*"]},
        {"verbs": every, "apiGroups": [""], "resources": ["configmaps", "services"]},
        {"verbs": every, "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["minio"]},
        {"verbs": ["create", "patch"], "apiGroups": [""], "resources": ["secrets"]},
        {"verbs": ["*"], "apiGroups": ["apps", "batch", "policy"], "resources": ["*"]},
    ]
    (line,) = looked(server, tmp_path, platform)
    start, _, told = line.partition(" in namespace dap: ")
    assert start == "platform.yml:1: cluster.context: here may not do all that a deploy does"
    missing = dict(part.rsplit(" ", 1)[::-1] for part in told.split("; "))
    assert missing == {
        "namespaces": "create",
        "secrets": "delete",
        "limitranges": "create, delete, patch",
        "resourcequotas": "create, delete, patch",
        "serviceaccounts": "create, delete, patch",
        "persistentvolumeclaims": "create, delete, patch",
        "networkpolicies": "create, delete, get, list, patch",
        "ingresses": "list",
        "roles": "list",
        "rolebindings": "list",
    }


def test_who_may_not_look_at_the_namespace_is_told_so(
    server: Server, tmp_path: Path, platform: Objects
) -> None:
    server.wide, server.things[HERE] = set(), None
    (line,) = looked(server, tmp_path, platform)
    assert line.endswith(" in namespace dap: get, patch namespaces")


def test_what_a_webhook_grants_is_granted(
    server: Server, tmp_path: Path, platform: Objects
) -> None:
    """It tells no rules, and answers each question."""
    every = {f"{verb} {name}" for verb in VERBS for name in RESOURCES}
    server.rules, server.wide = [], server.wide | every | {"get pods"}
    assert looked(server, tmp_path, platform) == []
    server.wide -= {"patch secrets"}
    (line,) = looked(server, tmp_path, platform)
    assert line.endswith(" in namespace dap: patch secrets")


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        ({}, "is somebody else's"),
        ({"app.kubernetes.io/part-of": "other"}, "is part of other"),
    ],
)
def test_a_namespace_of_somebody_else_is_refused(
    server: Server, tmp_path: Path, platform: Objects, labels: dict[str, str], whose: str
) -> None:
    server.wide = {"get namespaces", "patch namespaces"}
    server.things[HERE] = {"metadata": {"name": "dap", "labels": labels}}
    (line,) = looked(server, tmp_path, platform)
    assert line.startswith(
        f"platform.yml:1: cluster.namespace: Namespace dap is there and {whose}; allowed: another "
    )
    assert line.endswith(
        "kubectl --context here label --overwrite namespace dap app.kubernetes.io/part-of=dap"
    )


def test_objects_of_somebody_else_are_refused_by_name(
    server: Server, tmp_path: Path, platform: Objects
) -> None:
    server.wide = {"get namespaces", "patch namespaces"}
    server.things |= {
        HERE: {"metadata": {"name": "dap", "labels": OURS}},
        f"{HERE}/secrets": [{"metadata": {"name": name}} for name in ("minio", "unrelated")],
        "/apis/apps/v1/namespaces/dap/statefulsets": [
            {"metadata": {"name": "mlflow", "labels": {"app": "x"}}},
            {"metadata": {"name": "postgres-data", "labels": OURS}},
        ],
    }
    lines = looked(server, tmp_path, platform)
    found = [line.partition(" is there and")[0].partition("namespace: ")[2] for line in lines]
    assert sorted(found) == ["Secret minio", "StatefulSet mlflow"]


@pytest.mark.parametrize(
    ("key", "given"), [("requests.memory", "1Gi"), ("memory", "1024Mi"), ("requests.cpu", "10m")]
)
def test_a_quota_of_the_namespace_that_is_too_small_is_refused(
    server: Server, tmp_path: Path, platform: Objects, key: str, given: str
) -> None:
    server.wide = {"get namespaces", "patch namespaces"}
    server.things |= {
        HERE: {"metadata": {"name": "dap", "labels": OURS}},
        f"{HERE}/resourcequotas": [{"metadata": {"name": "team"}, "spec": {"hard": {key: given}}}],
    }
    (line,) = looked(server, tmp_path, platform)
    assert "cluster.namespace: ResourceQuota team of namespace dap gives requests." in line
    assert f" {given}, and the platform needs " in line
    server.things[f"{HERE}/resourcequotas"][0]["spec"]["hard"][key] = "900Gi"
    assert looked(server, tmp_path, platform) == []


def test_a_class_that_is_not_there_is_refused(server: Server, tmp_path: Path) -> None:
    (line,) = looked(server, tmp_path, cluster={"storage_class": "fats"})
    assert "cluster.storage_class: is no storage class of the cluster" in line
    assert "fast" in line


def test_no_class_and_no_default_is_refused(
    server: Server, tmp_path: Path, platform: Objects
) -> None:
    server.things[CLASSES] = [BY_HAND]
    (line,) = looked(server, tmp_path, platform)
    assert "cluster.storage_class: is left out, and the cluster has no default class" in line
    assert "allowed: hand" in line


def test_a_class_without_provisioner_needs_volumes_that_somebody_made(
    server: Server, tmp_path: Path
) -> None:
    made = on_cluster(ROOT, {"cluster": {"storage_class": "hand"}})
    count = len(made.kind("PersistentVolumeClaim"))
    volume = {"spec": {"storageClassName": "hand"}, "status": {"phase": "Available"}}
    server.things |= {CLASSES: [BY_HAND], "/api/v1/persistentvolumes": [volume] * (count - 1)}
    given: dict[str, Any] = {"cluster": {"storage_class": "hand"}}
    (line,) = looked(server, tmp_path, **given)
    assert f"{count} are needed, {count - 1} are free" in line
    claims = [{"metadata": {"name": "minio-data"}, "status": {"phase": "Bound"}}]
    server.things[f"{HERE}/persistentvolumeclaims"] = claims
    assert looked(server, tmp_path, **given) == []


def test_an_ingress_class_that_is_not_there_is_refused(server: Server, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "cluster": {"ingress_class": "nginx", "ingress_annotations": {"a": "b"}}
    }
    server.things["/apis/networking.k8s.io/v1/ingressclasses"] = [{"metadata": {"name": "traefik"}}]
    (line,) = looked(server, tmp_path, **given)
    assert "cluster.ingress_class: is no ingress class of the cluster; allowed: traefik" in line


def test_a_port_of_nodes_that_is_taken_is_refused(server: Server, tmp_path: Path) -> None:
    def service(namespace: str, **labels: str) -> dict[str, Any]:
        spec = {"ports": [{"port": 80}, {"port": 443, "nodePort": 30443}]}
        return {"metadata": {"name": "web", "namespace": namespace, "labels": labels}, "spec": spec}

    server.things["/api/v1/services"] = [service("shop"), service("dap", **OURS)]
    assert looked(server, tmp_path, **ON_NODES) == [
        "platform.yml:1: ports: NodePort 30443 is taken by Service web of namespace shop"
    ]


def test_what_the_account_may_not_look_at_is_left_to_the_cluster(
    server: Server, tmp_path: Path
) -> None:
    server.things |= {"/api/v1/services": None, CLASSES: None}
    assert looked(server, tmp_path, **ON_NODES) == []


def test_a_refusal_says_that_nothing_was_changed(tmp_path: Path, platform: Objects) -> None:
    settings = Settings.model_validate(ON_CLUSTER)
    with (
        serving(Server(wide=set()), tmp_path) as config,
        connected(placed(settings, (config,))) as live,
        pytest.raises(InputError) as refused,
    ):
        live.refuse(settings, platform)
    assert (refused.value.status, refused.value.hint) == (2, "nothing was changed")


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path, platform: Objects) -> None:
    server = Server()
    with serving(server, tmp_path) as config:
        pass
    settings = Settings.model_validate(ON_CLUSTER)
    with (
        pytest.raises(DapError, match="the cluster of context here does not answer") as told,
        connected(placed(settings, (config,))) as live,
    ):
        live.refuse(settings, platform)
    assert told.value.hint == "try: kubectl --context here version"
