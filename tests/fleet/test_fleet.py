"""Three fresh hosts become a platform; hosts come, go, fail and change."""

import re
from typing import Any

import pytest

from demo.access import Clock
from demo.flow import push_and_wait
from demo.project import REPOSITORY, run
from tests.fleet.platform import WORKSPACES, FleetPlatform
from tests.fleet.user import Client, Clone

# The first workspace after a change.
LARGER = {**WORKSPACES[0], "memory": "3g"}

RUNNERS = ("r1", "r2")
TAGS = {"r1": "one", "r2": "two"}


def test_make_deploy_makes_members_of_blank_hosts(platform: FleetPlatform) -> None:
    first = platform.first
    assert first["ok"], first["failures"]
    assert first["failures"] == []
    for name in platform.fleet.hosts:
        said = [each["change"] for each in first["changes"] if each["host"] == name]
        assert any("Docker's engine" in change for change in said), said


def test_every_container_of_every_host_is_healthy(platform: FleetPlatform) -> None:
    for name, host in platform.fleet.hosts.items():
        found = platform.states(host)
        assert found, name
        bad = {service: state for service, state in found.items() if state != "running healthy"}
        assert bad == {}, name


def test_the_project_knows_the_key_of_each_host_and_of_no_other(platform: FleetPlatform) -> None:
    known = (platform.project.path / "infrastructure" / "known_hosts").read_text()
    keys = {tuple(line.split()[1:3]) for line in known.splitlines() if line.strip()}
    for name in platform.fleet.hosts:
        assert tuple(platform.fleet.public_host_key(name).split()) in keys, name


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_host_built_nothing_and_pulled_all_from_the_platform(
    platform: FleetPlatform, name: str
) -> None:
    registry = f"registry.{platform.project.domain}"
    host = platform.fleet.hosts[name]
    said = [each["change"] for each in platform.first["changes"] if each["host"] == name]
    assert [change for change in said if change.startswith("build ")] == []
    form = "{{json .RepoTags}} {{json .RepoDigests}}"
    listing = host.execute("sh", "-c", f"docker images -q | xargs docker inspect --format '{form}'")
    without = [line for line in listing.splitlines() if f"{registry}/" not in line]
    assert without == []
    running = host.execute("docker", "ps", "--format", "{{.Image}}").split()
    assert running
    assert (
        host.execute("sh", "-c", "docker info --format '{{json .RegistryConfig}}'").count(registry)
        == 0
    ), "the registry is to be trusted by its CA, not as an insecure one"


def test_a_second_deploy_changes_nothing(platform: FleetPlatform) -> None:
    before = {name: platform.started(host) for name, host in platform.fleet.hosts.items()}
    again = platform.deploy()
    assert (again["status"], again["changes"], again["failures"]) == (0, [], [])
    after = {name: platform.started(host) for name, host in platform.fleet.hosts.items()}
    assert after == before


def test_the_example_runs_on_runner_hosts(platform: FleetPlatform) -> None:
    outcome = push_and_wait(platform.project, Clock(), access=platform.admin)
    hosts = {job["host"] for job in outcome.pipeline["jobs"]}
    assert hosts <= set(RUNNERS), "hub has not the role runner"
    assert outcome.metrics


def test_a_job_runs_on_the_host_that_its_tags_ask_for(
    platform: FleetPlatform, clone: Clone
) -> None:
    jobs: dict[str, Any] = {
        f"on-{name}": {
            "image": "$DAP_ENVIRONMENT_PYTHON",
            "tags": [TAGS[name]],
            "script": [
                "python -c \"import mlflow; mlflow.set_experiment('analysis');"
                f" mlflow.start_run(run_name='{clone.path.name}-{name}');"
                " mlflow.log_metric('one', 1)\"",
            ],
        }
        for name in RUNNERS
    }
    number = clone.push(jobs)
    pipeline = clone.ended(number)
    logs = {name: clone.log(number, job) for name, job in pipeline["jobs"].items()}
    assert pipeline["status"] == "success", (pipeline, logs)
    for name in RUNNERS:
        assert pipeline["jobs"][f"on-{name}"]["host"] == name
    assert sorted(runs_called(platform, clone.path.name)) == [
        f"{clone.path.name}-{name}" for name in RUNNERS
    ]


def test_tags_that_no_host_has_are_refused_with_those_there_are(clone: Clone) -> None:
    job = {"image": "$DAP_ENVIRONMENT_BASE", "tags": ["nowhere"], "script": ["true"]}
    number = clone.push({"lost": job})
    pipeline = clone.ended(number)
    assert pipeline["status"] == "failed"
    assert "nowhere" in pipeline["reason"]
    assert "r1, one, image-builder; r2, two, image-builder" in pipeline["reason"]


def runs_called(platform: FleetPlatform, prefix: str) -> list[str]:
    """Names of finished MLflow runs that start so."""
    found = platform.admin.mlflow(f"experiments/get-by-name?experiment_name={REPOSITORY}")
    runs = platform.admin.mlflow(
        "runs/search",
        experiment_ids=[found["experiment"]["experiment_id"]],
        filter=f"tags.mlflow.runName LIKE '{prefix}%'",
    )
    return [run["info"]["run_name"] for run in runs.get("runs", [])]


@pytest.mark.parametrize("workspace", [entry["name"] for entry in WORKSPACES])
def test_a_workspace_of_a_runner_host_is_entered_by_its_name(user: Client, workspace: str) -> None:
    assert user.said(workspace, "id -un").strip() == "analyst"


def test_the_page_of_a_workspace_comes_through_the_one_proxy(platform: FleetPlatform) -> None:
    name = WORKSPACES[0]["name"]
    assert platform.admin.request("GET", name, "/api").status_code == 200
    stranger = platform.anonymous.request("GET", name, "/api/contents")
    assert stranger.status_code in {401, 403}


def test_a_workspace_reaches_the_platform_by_its_names(
    platform: FleetPlatform, user: Client
) -> None:
    url = platform.admin.url("mlflow", "/health")
    for entry in WORKSPACES:
        assert user.said(entry["name"], f"curl -sS --max-time 20 {url}").strip() == "OK"


def test_make_verify_passes_across_the_hosts(platform: FleetPlatform) -> None:
    done = platform.dap("verify")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_make_status_shows_every_host_well(platform: FleetPlatform) -> None:
    done = platform.dap("status")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in platform.fleet.hosts:
        assert re.search(rf"\b{name}\b", done.stdout), name


def test_a_host_that_is_down_fails_alone_and_is_named(platform: FleetPlatform) -> None:
    fleet = platform.fleet
    platform.change(workspaces=[LARGER, *WORKSPACES[1:]])
    fleet.hosts["r2"].off()
    try:
        done = platform.deploy()
        assert done["status"] == 1
        assert {failure["host"] for failure in done["failures"]} == {"r2"}, done["failures"]
        changed = {each["host"] for each in done["changes"]}
        assert "r1" in changed, done
    finally:
        fleet.hosts["r2"].on()
    again = platform.deploy()
    assert again["ok"], again["failures"]
    assert platform.deploy()["changes"] == []


def test_a_removed_host_is_drained_and_forgotten(platform: FleetPlatform) -> None:
    fleet = platform.fleet
    rest = ["hub", "r1"]
    before = {name: platform.started(fleet.hosts[name]) for name in rest}
    platform.change(hosts=[fleet.hosts[name].settings for name in rest], workspaces=[LARGER])
    done = platform.deploy()
    assert done["ok"], done["failures"]
    assert platform.started(fleet.hosts["r2"]) == {}
    known = (platform.project.path / "infrastructure" / "known_hosts").read_text()
    assert fleet.public_host_key("r2").split()[1] not in known
    assert "r2" not in str(platform.plan["workspaces"])
    after = {name: platform.started(fleet.hosts[name]) for name in rest}
    assert after["r1"] == before["r1"]
    touched = {name for name, start in before["hub"].items() if after["hub"].get(name) != start}
    assert touched == {"jump", "portal"}  # which know the workspace that went with it
    assert platform.deploy()["changes"] == []


def test_an_added_host_touches_no_other(platform: FleetPlatform, clone: Clone) -> None:
    fleet = platform.fleet
    rest = ["hub", "r1"]
    before = {name: platform.started(fleet.hosts[name]) for name in rest}
    # At the removed one's address stands a new machine now, with other SSH host keys.
    fleet.hosts["r2"].replace()
    platform.change(hosts=[host.settings for host in fleet.hosts.values()])
    done = platform.deploy()
    assert done["ok"], done["failures"]
    assert {name: platform.started(fleet.hosts[name]) for name in rest} == before
    job = {"image": "$DAP_ENVIRONMENT_BASE", "tags": ["two"], "script": ["true"]}
    pipeline = clone.ended(clone.push({"there": job}))
    assert pipeline["status"] == "success"
    assert pipeline["jobs"]["there"]["host"] == "r2"
    assert platform.deploy()["changes"] == []


def test_a_changed_host_key_is_refused_with_the_remedy(platform: FleetPlatform) -> None:
    r1 = platform.fleet.hosts["r1"]
    before = platform.started(r1)
    r1.new_ssh_keys()
    done = platform.deploy()
    assert done["status"] != 0
    [failure] = done["failures"]
    assert failure["host"] == "r1"
    said = f"{failure['reason']} {failure['remedy']}"
    assert "ssh-keygen -R r1 -f infrastructure/known_hosts" in said
    assert platform.started(r1) == before
    # As the remedy says.
    run("ssh-keygen", "-R", "r1", "-f", "infrastructure/known_hosts", cwd=platform.project.path)
    assert platform.deploy()["ok"]
