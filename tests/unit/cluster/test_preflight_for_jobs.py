"""What keeps a cluster beside hosts from taking their jobs is told before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dap.cluster import Objects
from dap.errors import DapError, InputError
from dap.plan import make_plan
from dap.settings import load
from dap.stack.live import connected
from dap.stack.place import Place

from tests.gitlab.forge import catalogue
from tests.paths import ROOT
from tests.unit.cluster.conftest import BESIDE, for_jobs
from tests.unit.cluster.server import ALL, Server, serving

GPU = {"name": "gpu", "context": "here", "gpus": 1}
HERE = "/api/v1/namespaces/dap-gpu"
OURS = {"app.kubernetes.io/part-of": "dap"}
EVERY = ["create", "delete", "get", "list", "patch"]
# What a deploy does there, and no more: none of what the runner may.
DEPLOYER: list[dict[str, Any]] = [
    {
        "verbs": EVERY,
        "apiGroups": [""],
        "resources": [
            *("configmaps", "limitranges", "resourcequotas", "secrets", "serviceaccounts"),
            "services",
        ],
    },
    {
        "verbs": EVERY,
        "apiGroups": ["apps", "networking.k8s.io", "rbac.authorization.k8s.io"],
        "resources": ["deployments", "networkpolicies", "roles", "rolebindings"],
    },
    {
        "verbs": ["list"],
        "apiGroups": ["", "apps", "batch", "networking.k8s.io", "policy"],
        "resources": ["ingresses", "jobs", "poddisruptionbudgets", "pods", "statefulsets"],
    },
]
# Only what the deployer has not, of what GitLab's documentation names.
RUNNER: list[dict[str, Any]] = [
    {"verbs": ["create", "delete", "get", "watch"], "apiGroups": [""], "resources": ["pods"]},
    {"verbs": ["*"], "apiGroups": [""], "resources": ["pods/attach", "*/exec", "pods/log"]},
    {"verbs": ["update"], "apiGroups": [""], "resources": ["secrets"]},
    {"verbs": ["list"], "apiGroups": ["*"], "resources": ["events"]},
]


@pytest.fixture
def server() -> Server:
    """A cluster where the namespace is ours, and an account that may all."""
    wide = {"get namespaces", "patch namespaces"}
    return Server({HERE: {"metadata": {"name": "dap-gpu", "labels": OURS}}}, wide=wide)


@pytest.fixture(scope="module")
def jobs() -> Objects:
    return for_jobs(ROOT, {"clusters": [GPU]})["gpu"].objects


def looked(server: Server, folder: Path, jobs: Objects) -> list[str]:
    """Lines of the refusal; none where the cluster takes the objects."""
    file = folder / "platform.yml"
    lines = [f"{key}: {value}" for key, value in BESIDE.items()]
    file.write_text("\n".join([*lines, "clusters:", f"  - {GPU}", ""]).replace("'", ""))
    settings = load(file)
    (host,) = make_plan(settings, catalogue()).clusters
    found: list[str] = []
    with serving(server, folder) as config:
        place = Place("dap.gpu", "dap", (config,), host.host.place)
        with connected(place) as live:
            try:
                live.refuse(settings, jobs)
            except InputError as error:
                found = error.message.splitlines()
    for line in found:
        assert line.startswith("platform.yml:5: clusters[0].")
    beside = "/apis/authorization.k8s.io/"
    assert {method for method, path in server.asked if beside not in path} == {"GET"}
    return [line.partition("clusters[0].")[2] for line in found]


def missing(line: str) -> dict[str, str]:
    """Verbs by resource that a line says are missing."""
    listed = line.rpartition(": ")[2].split("; ")
    return dict(part.rsplit(" ", 1)[::-1] for part in listed)


def test_a_cluster_with_an_account_that_may_all_is_taken(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    assert looked(server, tmp_path, jobs) == []
    asked = {path for method, path in server.asked if method == "GET"}
    assert "/apis/storage.k8s.io/v1/storageclasses" not in asked, "there are no volumes"
    assert len(server.asked) < 20, "one question for each kind at most"


def test_an_account_needs_what_a_deploy_does_and_what_the_runner_may(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    server.rules = [*DEPLOYER, *RUNNER]
    assert looked(server, tmp_path, jobs) == []


def test_the_rights_of_the_runner_that_the_account_lacks_are_told(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    server.rules = DEPLOYER
    # A webhook's grant is no rule, by which the cluster judges what one may give.
    server.wide |= {"create pods", "watch pods"}
    (line,) = looked(server, tmp_path, jobs)
    assert line.startswith(
        "context: here has not itself what Role gitlab-runner gives in namespace dap-gpu, "
    )
    assert missing(line) == {
        "pods": "create, delete, get, watch",
        "pods/attach": "create, delete, get, patch",
        "pods/exec": "create, delete, get, patch",
        "pods/log": "get, list",
        "secrets": "update",
        "events": "list",
    }


def test_who_may_escalate_and_bind_needs_none_of_them(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    server.rules = DEPLOYER
    server.wide |= {"escalate roles"}
    assert len(looked(server, tmp_path, jobs)) == 1
    server.wide |= {"bind roles"}
    assert looked(server, tmp_path, jobs) == []


def test_what_a_deploy_may_not_is_told_beside_it(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    server.rules, server.wide = DEPLOYER[2:], set()
    deploy, role = looked(server, tmp_path, jobs)
    start = "context: here may not do all that a deploy does in namespace dap-gpu: "
    assert deploy.startswith(start)
    every = ", ".join(EVERY)
    assert missing(deploy) == {
        "namespaces": "get, patch",
        **dict.fromkeys(("configmaps", "secrets", "services", "serviceaccounts"), every),
        **dict.fromkeys(("limitranges", "resourcequotas", "networkpolicies"), every),
        **dict.fromkeys(("roles", "rolebindings", "deployments"), every),
    }
    assert "Role gitlab-runner" in role


def test_a_namespace_of_somebody_else_is_refused(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    server.things[HERE] = {"metadata": {"name": "dap-gpu"}}
    (line,) = looked(server, tmp_path, jobs)
    assert line.startswith("namespace: Namespace dap-gpu is there and is somebody else's; allowed:")
    assert line.endswith(" label --overwrite namespace dap-gpu app.kubernetes.io/part-of=dap")


def test_objects_of_somebody_else_and_a_quota_that_is_too_small_are_refused(
    server: Server, tmp_path: Path, jobs: Objects
) -> None:
    hard = {"requests.nvidia.com/gpu": "1", "requests.memory": "64Gi"}
    server.things |= {
        f"{HERE}/secrets": [{"metadata": {"name": "registry.pull"}}],
        f"{HERE}/resourcequotas": [{"metadata": {"name": "team"}, "spec": {"hard": hard}}],
    }
    foreign, quota = looked(server, tmp_path, jobs)
    assert foreign.startswith("namespace: Secret registry.pull is there and is somebody else's")
    assert quota == (
        "namespace: ResourceQuota team of namespace dap-gpu gives requests.nvidia.com/gpu 1, and "
        "the platform needs 4 there"
    )


@pytest.mark.parametrize("status", [401, 503])
def test_an_account_that_the_cluster_does_not_know_is_refused(
    server: Server, tmp_path: Path, jobs: Objects, status: int
) -> None:
    server.rules, server.fails = [ALL], status
    with pytest.raises(DapError) as told:
        looked(server, tmp_path, jobs)
    if status == 401:
        assert "the cluster of context here does not know its account" in told.value.message
    assert isinstance(told.value, InputError) is (status == 401)
