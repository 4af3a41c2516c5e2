"""A push runs its pipeline: GitLab and its runner are stand-ins, jobs and services are real."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.access import await_result
from demo.flow import admin
from demo.project import REPOSITORY, ROOT
from tests.gitlab.conftest import clone
from tests.gitlab.team import OTHER, Team

ENDS = {"success", "failed", "canceled", "skipped"}
TIMEOUT_S = 600


@dataclass(frozen=True)
class Outcome:
    """What a push led to: its commit, the pipeline, its jobs with logs, the MLflow run."""

    commit: str
    pipeline: dict[str, Any]
    jobs: dict[str, dict[str, Any]]
    run: dict[str, Any]


@pytest.fixture(scope="module")
def outcome(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The example's analysis, pushed to main by a member who is no admin."""
    place = tmp_path_factory.mktemp("push") / "clone"
    mine = clone(team, OTHER, place)
    mine.follow()
    shutil.rmtree(place / "src", ignore_errors=True)
    shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "when").write_text(uuid4().hex)
    given = ROOT / "infrastructure/pattern/project/.gitlab-ci.yml"
    commit = mine.commit(".gitlab-ci.yml", given.read_text())
    mine.git("push", "--quiet", "origin", "HEAD:main")
    path = f"/projects/{team.project.name}%2F{REPOSITORY}/pipelines"

    def ended() -> dict[str, Any] | None:
        (found,) = team.api("GET", path, params={"sha": commit}).json()
        return found if found["status"] in ENDS else None

    pipeline = await_result("the pipeline", ended, TIMEOUT_S)
    rows = team.state["jobs"].values()
    jobs = {row["name"]: row for row in rows if row["pipeline"] == pipeline["id"]}
    logs = "\n".join(f"{name}:\n{row['trace']}" for name, row in jobs.items())
    assert pipeline["status"] == "success", f"{pipeline['yaml_errors'] or ''}{logs}"
    run = admin(team.project).run_of_commit(REPOSITORY, commit)
    assert run is not None, logs
    return Outcome(commit, pipeline, jobs, run)


def test_the_pipeline_succeeds_in_all_its_jobs(outcome: Outcome) -> None:
    assert {name: row["status"] for name, row in outcome.jobs.items()} == {
        f"breast-cancer {name}": "success" for name in ("check", "load", "train", "register")
    }


def test_the_run_says_where_it_is_from(outcome: Outcome) -> None:
    assert outcome.run["info"]["status"] == "FINISHED"
    tags = {tag["key"]: tag["value"] for tag in outcome.run["data"]["tags"]}
    assert tags["commit"] == outcome.commit
    assert tags["pipeline_id"] == str(outcome.pipeline["id"])
    assert tags["pipeline_url"] == outcome.pipeline["web_url"]
    assert "/environments/python@sha256:" in tags["image"]


def test_metrics_are_rows_and_artifacts_are_objects(team: Team, outcome: Outcome) -> None:
    number = outcome.run["info"]["run_id"]
    query = f"select count(*) from metrics where run_uuid = '{number}'"
    psql = ("psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", "mlflow", "-c", query)
    assert int(team.execute("postgres-service", *psql)) > 3
    mounts = team.containers()["minio"].attrs["Mounts"]
    data = next(mount["Destination"] for mount in mounts if mount["Type"] == "volume")
    assert team.execute("minio", "find", data, "-path", f"*{number}*", "-name", "*.png").strip()


def test_jobs_are_confined_as_the_configuration_of_the_runner_says(
    team: Team, tmp_path: Path
) -> None:
    """Seen from a job that is looked at while it runs; nothing of it is left."""
    mine = clone(team, OTHER, tmp_path / "mine")
    mine.commit(
        ".gitlab-ci.yml",
        "look:\n  image: $DAP_ENVIRONMENT_PYTHON\n  script:\n"
        '    - test -z "${S3_BUCKET:-}" && test ! -e /var/run/docker.sock\n'
        "    - until test -e /tmp/seen; do sleep 0.1; done\n",
    )
    branch = f"look-{uuid4().hex}"
    mine.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    label = [f"dap.platform={team.project.name}", "dap.pipeline"]

    def running() -> Any:
        found = team.docker.containers.list(filters={"label": label}, ignore_removed=True)
        return next((each for each in found if str(each.name).endswith("-build")), None)

    container = await_result("the job", running, 60, 0.1)
    host, networks = container.attrs["HostConfig"], container.attrs["NetworkSettings"]["Networks"]
    container.exec_run(["touch", "/tmp/seen"])
    assert (host["CapDrop"], host["Privileged"]) == (["ALL"], False)
    assert host["Memory"] == host["MemorySwap"] == 4 * 2**30
    assert set(networks) == {f"{team.project.name}_edge"}
    path = f"/projects/{team.project.name}%2F{REPOSITORY}/pipelines"

    def ended() -> str | None:
        (found,) = team.api("GET", path, params={"ref": branch}).json()
        return str(found["status"]) if found["status"] in ENDS else None

    assert await_result("the pipeline", ended, 60) == "success"
    assert not team.docker.containers.list(all=True, filters={"label": label})
    assert not team.docker.volumes.list(filters={"label": label})
