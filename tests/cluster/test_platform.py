"""The shipped catalogue on a real cluster, as its operator and its users meet it."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.access import await_result
from demo.project import REPOSITORY, run
from tests.cluster.platform import WORKSPACE, ClusterPlatform
from tests.fleet.user import Client

NO_CHANGE_S = 30
BACK_S = 120
RUN = """
import json, mlflow
mlflow.set_experiment("analysis")
with mlflow.start_run() as run:
    mlflow.log_metric("proof", 1.5)
    mlflow.log_text("from a pod", "note.txt")
print(json.dumps(run.info.run_id))
"""


def test_all_is_ready_under_the_restricted_standard(platform: ClusterPlatform) -> None:
    name = platform.project.name
    space = platform.cluster.get("namespace", name)
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    states = {}
    for pod, each in platform.pods().items():
        (status,) = each["status"]["containerStatuses"]
        if each["status"]["phase"] != "Succeeded":
            states[pod] = status["ready"]
    assert states
    assert all(states.values()), states


def test_pages_are_there_by_name_over_tls_to_who_logs_in(platform: ClusterPlatform) -> None:
    assert platform.anonymous.request("GET", "").status_code == 401
    page = platform.admin.request("GET", "")
    assert page.status_code == 200
    assert "MLflow" in page.text
    for route in platform.plan["routes"]:
        name = "" if route["name"] == "@" else route["name"]
        refused = platform.anonymous.request("GET", name, route["refuses"])
        assert refused.status_code in (401, 403), route["name"]
    with pytest.raises(requests.exceptions.SSLError):
        platform.admin.request("GET", "git.other")


def test_a_run_of_a_workspace_lies_in_database_and_object_store(
    platform: ClusterPlatform, user: Client
) -> None:
    """The workspace finds MLflow by name, trusts the platform's CA, and has its owner's account."""
    said = user.said(WORKSPACE, f"python - <<'EOF'\n{RUN}\nEOF")
    identifier = json.loads(said.strip().splitlines()[-1])
    found = platform.admin.run(identifier)
    assert {"key": "proof", "value": 1.5}.items() <= found["data"]["metrics"][0].items()
    path = f"/get-artifact?run_uuid={identifier}&path=note.txt"
    assert platform.admin.request("GET", "mlflow", path).text == "from a pod"


def test_jupyter_answers_through_the_proxy(platform: ClusterPlatform) -> None:
    session = platform.anonymous
    asked = session.request("GET", WORKSPACE, "/login")
    assert asked.status_code == 200
    token = asked.cookies["_xsrf"]
    answer = session.request(
        *("POST", WORKSPACE, "/login"),
        data={"password": platform.admin.password, "_xsrf": token},
    )
    assert answer.status_code == 302
    listed = session.request("GET", WORKSPACE, "/api/contents")
    assert listed.status_code == 200
    assert listed.json()["type"] == "directory"


def test_a_push_is_there_for_a_clone(platform: ClusterPlatform, tmp_path: Path) -> None:
    project = platform.project
    reach = f"-oHostName={platform.cluster.addresses.node} -oHostKeyAlias=git.{project.domain}"
    ssh = {"GIT_SSH_COMMAND": f"ssh {' '.join(project.ssh_options)} {reach}"}
    remote = f"ssh://git@git.{project.domain}:{project.ssh_port}/{REPOSITORY}"
    head = project.commit("From the operator's machine")
    run("git", "push", "--quiet", "--force", remote, "HEAD:main", cwd=project.path, env=ssh)
    run("git", "clone", "--quiet", remote, str(tmp_path / "clone"), env=ssh)
    assert run("git", "rev-parse", "HEAD", cwd=tmp_path / "clone").strip() == head


def test_a_workspace_reaches_no_service_past_the_proxy(user: Client) -> None:
    """Postgres of the services is on another network; the page of MLflow is the proxy's to give."""
    ask = "timeout 3 bash -c ': </dev/tcp/{host}/{port}' && echo open || echo shut"
    for host, port in (("postgres-service", 5432), ("mlflow", 5000), ("minio", 9000)):
        assert user.said(WORKSPACE, ask.format(host=host, port=port)).strip() == "shut", host


def test_a_deploy_that_changes_nothing_is_quick_and_makes_no_pod_anew(
    platform: ClusterPlatform,
) -> None:
    before = platform.pods().keys()
    begun = time.monotonic()
    done = platform.deploy()
    took = time.monotonic() - begun
    assert done["changes"] == []
    assert done["content"] == 0
    services = {name for name in before if not name.startswith("content-")}
    assert services <= platform.pods().keys()
    assert took < NO_CHANGE_S, took


def test_a_deploy_puts_right_what_others_changed(platform: ClusterPlatform) -> None:
    """What is gone is made, what differs is as it was; then there is nothing left to do."""
    space = ("--namespace", platform.project.name)
    platform.cluster.kubectl(*space, "scale", "deployment/portal", "--replicas=0")
    platform.cluster.kubectl(*space, "delete", "networkpolicy", "names")
    done = platform.deploy()
    changes = {(each["operation"], each["object"]) for each in done["changes"]}
    assert changes == {("update", "Deployment/portal"), ("create", "NetworkPolicy/names")}
    assert "Deployment/portal: spec.replicas" in done["said"]
    assert platform.deploy()["changes"] == []
    assert json.loads(platform.dap("plan", "--json").stdout)["changes"] == []


def test_a_killed_pod_comes_back_with_its_data(platform: ClusterPlatform) -> None:
    name = platform.project.name
    space = ("--namespace", name)
    before = platform.admin.mlflow("experiments/get-by-name?experiment_name=analysis")
    platform.cluster.kubectl(*space, "delete", "pod", "postgres-service-0", "--grace-period=0")
    platform.cluster.kubectl(
        *space, "wait", "--for=condition=Ready", "pod/postgres-service-0", f"--timeout={BACK_S}s"
    )

    def again() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = platform.admin.mlflow(
                "experiments/get-by-name?experiment_name=analysis"
            )
        except requests.HTTPError:
            return None
        return found

    assert await_result("MLflow's answer", again, BACK_S) == before


def test_data_outlasts_a_power_cut_of_the_node(platform: ClusterPlatform, user: Client) -> None:
    user.said(WORKSPACE, "echo kept >~/kept && sync")
    platform.cluster.off()
    platform.cluster.on()

    def kept() -> str | None:
        try:
            return user.said(WORKSPACE, "cat ~/kept").strip()
        except (AssertionError, subprocess.TimeoutExpired):
            return None

    assert await_result("the workspace", kept, 2 * BACK_S) == "kept"
    done = platform.deploy()
    assert done["changes"] == []
