"""The platform on the cluster is broken in each way that `make verify` looks for: it says so."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from demo.access import await_result
from tests.cluster.platform import ClusterPlatform
from tests.cluster.space import Space, pod

READY_S = 90
STRAY = "stray"
SERVICE = "portal"  # a Deployment, on which no other service depends


@pytest.fixture
def here(platform: ClusterPlatform) -> Iterator[Space]:
    """The platform's own namespace, from which what a test has put there goes afterwards."""
    found = Space(platform.cluster, platform.project.name)
    yield found
    kinds = "pods,services,networkpolicies,configmaps"
    found.kubectl("delete", kinds, "--ignore-not-found", "--wait", f"--selector=test={STRAY}")


def verify(platform: ClusterPlatform, only: str) -> dict[str, Any]:
    """What `dap verify` finds."""
    done = platform.dap("verify", "--json", "--only", only)
    assert done.returncode in (0, 1), f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def failed(platform: ClusterPlatform, only: str) -> dict[str, str]:
    """The checks that fail, with what each says."""
    found = verify(platform, only)["tests"]
    return {
        f"{each['check']} ({each['subject']})" if each["subject"] else each["check"]: each["reason"]
        for each in found
        if each["outcome"] == "failed"
    }


def stray(kind: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    """An object that is not of the plan, which the test's end removes."""
    labels = {"test": STRAY}
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": STRAY, "labels": labels}, **rest
    }  # fmt: skip


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
        "the run of the job",
    }, "without pipelines, what they would do is left out, and nothing else"  # fmt: skip
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
