"""The platform on the cluster is broken in each way that `make verify` looks for: it says so."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.access import await_result
from tests.cluster.checks import INSIDE, failed, verify
from tests.cluster.platform import ClusterPlatform
from tests.cluster.space import STRAY, Space, pod, stray
from tests.paths import ROOT

READY_S = 90
SERVICE = "portal"  # a Deployment, on which no other service depends


def test_all_is_well_and_nothing_of_the_checks_stays(
    platform: ClusterPlatform, here: Space
) -> None:
    def there() -> list[str]:
        kinds = "pods,services,configmaps,secrets,jobs,persistentvolumeclaims"
        return sorted(here.kubectl("get", kinds, "--output", "name").split())

    before = there()
    found = verify(platform, "")
    assert found["ok"], [each for each in found["tests"] if each["outcome"] == "failed"]
    assert found["passed"] > 80
    skipped = {each["check"] for each in found["tests"] if each["outcome"] == "skipped"}
    assert skipped <= {
        "no secret in pipelines", "environments are there", "names in a job",
        "a push runs its pipeline", "the object of the job", "the row of the job",
        "the run of the job", "clusters may only pull",
    }, "without pipelines and other clusters, what is theirs is left out"  # fmt: skip
    assert there() == before


@contextmanager
def patched(here: Space, patch: dict[str, Any], back: dict[str, Any]) -> Iterator[None]:
    """Have a service's Deployment changed for a while, once its pods are."""

    def apply(wanted: dict[str, Any]) -> None:
        text = json.dumps({"spec": {"template": {"spec": {"containers": [wanted]}}}})
        here.kubectl("patch", "deployment", SERVICE, "--patch", text)
        here.kubectl("rollout", "status", f"deployment/{SERVICE}", f"--timeout={READY_S}s")
        await_result("the end of the pods before", lambda: len(pods(here)) == 1 or None, READY_S)

    apply({"name": SERVICE, **patch})
    try:
        yield
    finally:
        apply({"name": SERVICE, **back})


def pods(here: Space) -> list[str]:
    """The pods of the service."""
    selector = f"--selector=app.kubernetes.io/name={SERVICE}"
    return here.kubectl("get", "pods", selector, "--output", "name").split()


def test_a_service_that_is_down(platform: ClusterPlatform, here: Space) -> None:
    here.kubectl("scale", f"deployment/{SERVICE}", "--replicas=0")
    try:
        await_result("the end of the pod", lambda: not pods(here) or None, READY_S)
        assert set(failed(platform, "healthy")) == {f"healthy ({SERVICE})"}
        differs = failed(platform, "as the settings say")
        assert differs == {"as the settings say": f"Deployment/{SERVICE}: spec.replicas"}
    finally:
        here.kubectl("scale", f"deployment/{SERVICE}", "--replicas=1")
        here.kubectl("rollout", "status", f"deployment/{SERVICE}", f"--timeout={READY_S}s")


def test_a_pod_that_may_more_than_it_should(platform: ClusterPlatform, here: Space) -> None:
    made = here.get("deployment", SERVICE)["spec"]["template"]["spec"]["containers"][0]
    limit = made["resources"]["limits"]["memory"]
    with patched(
        here,
        {
            "securityContext": {"readOnlyRootFilesystem": False},
            "resources": {"limits": {"memory": "999Mi"}},
        },
        {
            "securityContext": {"readOnlyRootFilesystem": True},
            "resources": {"limits": {"memory": limit}},
        },
    ):
        found = failed(platform, "test_services")
        assert set(found) == {f"limits ({SERVICE})", f"confined ({SERVICE})"}
        assert "read_only is False" in found[f"confined ({SERVICE})"]
    assert failed(platform, "test_services") == {}


def test_what_is_not_of_the_plan(platform: ClusterPlatform, here: Space) -> None:
    here.apply(
        pod(STRAY, "sleep 600", labels={"test": STRAY}, automountServiceAccountToken=True),
        stray("Service", spec={"type": "NodePort", "ports": [{"port": 8080}]}),
    )
    assert set(failed(platform, "planned")) == {"nothing runs that is not planned"}
    assert set(failed(platform, "published")) == {"only the proxy is published"}
    assert set(failed(platform, "token")) == {"no pod has a token"}


def test_a_secret_that_shows(platform: ClusterPlatform, here: Space) -> None:
    here.apply(stray("ConfigMap", data={"text": f"it is {platform.admin.password}"}))
    found = failed(platform, "no secret")
    assert set(found) == {"no secret in objects"}
    assert platform.admin.password not in json.dumps(found)
    inside = ("exec", f"deployment/{SERVICE}", "--", "bash", "-c")
    script = f"exec -a 'sh {platform.admin.password}' sleep 600"
    command = ["docker", "exec", platform.cluster.name, "kubectl", "--namespace", here.name]
    with subprocess.Popen([*command, *inside, script]) as process:
        try:
            await_result(
                "what shows",
                lambda: "no secret in process lists" in failed(platform, "process") or None,
                READY_S,
            )
        finally:
            here.kubectl(*inside, ENDS)
            process.wait(READY_S)


# The program that was put there, by what it is called.
ENDS = """
for place in /proc/[0-9]*; do
    if [ "$(cat "$place/comm" 2>/dev/null)" = sleep ]; then kill "${place#/proc/}"; fi
done
"""


def test_pods_that_are_open_to_all(platform: ClusterPlatform, here: Space) -> None:
    everyone = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    owner = {"test": STRAY, "app.kubernetes.io/part-of": platform.project.name}
    policy = stray("NetworkPolicy", "networking.k8s.io/v1", spec=everyone)
    policy["metadata"]["labels"] = owner
    here.apply(policy)

    def opened() -> bool | None:
        return "pods are out of reach from here" in failed(platform, "out of reach") or None

    await_result("open pods", opened, READY_S)
    assert set(failed(platform, "beside")) == {"nothing beside them"}


LEFT_OUT = {"no secret in the repository"}  # which is here, and not there


def apart(platform: ClusterPlatform) -> list[str]:
    """What is in the cluster for the tests alone: their namespace, their account's rights."""
    label = f"--selector=dap.verify={platform.project.name}"
    kinds = "namespaces,roles,rolebindings"
    found = platform.cluster.kubectl("get", kinds, "--all-namespaces", label, "--output", "name")
    return sorted(found.split())


def test_from_inside_all_is_well_and_the_platform_is_as_it_was(
    platform: ClusterPlatform, here: Space
) -> None:
    """Through the proxy's Service, from another namespace: the same checks as from here."""

    def there() -> list[str]:
        kinds = "pods,services,configmaps,secrets,jobs,roles,rolebindings,serviceaccounts"
        return sorted(here.kubectl("get", kinds, "--output", "name").split())

    before = there()
    found = verify(platform, "", INSIDE)
    assert found["ok"], [each for each in found["tests"] if each["outcome"] == "failed"]
    outside = verify(platform, "")
    assert outside["ok"]
    assert {each["test"] for each in found["tests"]} == {each["test"] for each in outside["tests"]}
    skipped = [
        {each["check"] for each in one["tests"] if each["outcome"] == "skipped"}
        for one in (found, outside)
    ]
    assert skipped[0] - skipped[1] <= LEFT_OUT
    assert there() == before
    assert apart(platform) == []
    assert json.loads(platform.dap("plan", "--json").stdout)["changes"] == []


def test_from_inside_a_person_reads_the_same(platform: ClusterPlatform) -> None:
    done = platform.dap("verify", INSIDE, "--only", "healthy (portal)")
    assert done.returncode == 2
    assert "error: no check has 'healthy (portal)' in its name" in done.stdout
    done = platform.dap("verify", INSIDE, "--only", "test_healthy[portal]")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The platform works: 1 checks passed" in done.stdout


def test_from_inside_faults_are_found(platform: ClusterPlatform, here: Space) -> None:
    """And with open pods it is policies that fail: a pod of another namespace tries them."""
    everyone = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    here.apply(
        stray("ConfigMap", data={"text": f"it is {platform.admin.password}"}),
        stray("NetworkPolicy", "networking.k8s.io/v1", spec=everyone),
    )
    found = failed(platform, "on_cluster", INSIDE)
    assert found.keys() == {"no secret in objects", "pods are out of reach from here"}
    assert platform.admin.password not in json.dumps(found)
    assert apart(platform) == []


@contextmanager
def at_work(platform: ClusterPlatform) -> Iterator[subprocess.Popen[str]]:
    """Have the tests at work in the cluster."""
    space = f"{platform.project.name}-verify"

    def runs() -> bool | None:
        found = platform.cluster.kubectl(
            *("get", "pods", "--namespace", space, "--output", "jsonpath={.items[*].status.phase}")
        )
        return found == "Running" or None

    with platform.begun("verify", INSIDE) as process:
        await_result("the tests in the cluster", runs, READY_S, 0.2)
        yield process


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_from_inside_what_is_interrupted_leaves_nothing(
    platform: ClusterPlatform, sent: signal.Signals
) -> None:
    with at_work(platform) as process:
        assert apart(platform) != []
        process.send_signal(sent)
        process.communicate(timeout=READY_S)
    assert process.returncode == 130
    assert apart(platform) == []


def test_from_inside_what_a_killed_run_left_is_told_and_taken_away(
    platform: ClusterPlatform,
) -> None:
    name = f"{platform.project.name}-verify"
    with at_work(platform) as process:
        process.kill()
        process.communicate(timeout=READY_S)
    assert apart(platform) == sorted([
        f"namespace/{name}",
        f"role.rbac.authorization.k8s.io/{name}",
        f"rolebinding.rbac.authorization.k8s.io/{name}",
    ])  # fmt: skip
    told = json.loads(platform.dap("doctor", "--json").stdout)["findings"]
    assert any(
        each["where"] == "tests" and f"namespace {name} is there" in each["what"] for each in told
    )
    assert failed(platform, "test_objects", INSIDE) == {}
    assert apart(platform) == []


def test_from_inside_a_namespace_of_others_is_left_alone(platform: ClusterPlatform) -> None:
    others = Space(platform.cluster, f"{platform.project.name}-verify")
    others.make()
    try:
        done = platform.dap("verify", INSIDE)
        assert done.returncode == 2
        assert f"namespace {others.name} is there and is not this platform's" in done.stderr
        assert platform.cluster.get("namespace", others.name)["status"]["phase"] == "Active"
        assert apart(platform) == []
    finally:
        others.remove()


def blocks(page: Path) -> list[list[Any]]:
    """The documents of each block of a page that an administrator applies or adds."""
    found = re.findall(
        r"```yaml not run: an administrator .*?\n(.*?)```", page.read_text(), re.DOTALL
    )
    return [list(yaml.safe_load_all(each)) for each in found]


@pytest.fixture
def account(platform: ClusterPlatform) -> Iterator[None]:
    """The operator has an account that may what the page says, and no more."""
    cluster, name = platform.cluster, "test-account"
    roles, more = blocks(ROOT / "doc" / "kubernetes-setup.md")
    bindings = []
    for role, rules in zip(roles, more, strict=True):
        role["rules"] += rules
        role["metadata"]["name"] = f"{name}-{role['metadata']['name']}"
        role["metadata"]["labels"] = {"test": name}
        bindings.append({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": role["metadata"],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role["metadata"]["name"],
            },
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        })  # fmt: skip
    labels = {"test": name}
    who = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "labels": labels},
    }
    Space(cluster, "default").apply(who, *roles, *bindings)
    text = cluster.kubeconfig.read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    token = cluster.kubectl("create", "token", name, "--namespace", "default").strip()
    config["users"][0]["user"] = {"token": token}
    # In its place: another one's path would be another platform.yml.
    cluster.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    yield
    cluster.kubeconfig.write_text(text, encoding="utf-8")
    kinds = "clusterroles,clusterrolebindings,serviceaccounts"
    cluster.kubectl("delete", kinds, "--namespace", "default", f"--selector=test={name}")


@pytest.mark.usefixtures("account")
def test_the_account_of_the_page_may_all_of_it(platform: ClusterPlatform) -> None:
    """The suite from here and from inside, `make doctor` and `make logs`."""
    assert failed(platform, "on_cluster") == {}
    assert failed(platform, "on_cluster", INSIDE) == {}
    done = platform.dap("doctor", "--json")
    told = [each for each in json.loads(done.stdout)["findings"] if each["level"] != "ok"]
    assert not [each for each in told if "may not" in each["what"]], told
    assert platform.dap("logs", "--lines", "1").returncode == 0
    assert apart(platform) == []
