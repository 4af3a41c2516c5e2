"""A project made by `make new-project`: its first push runs green, and its run is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from demo.access import await_result
from demo.flow import admin as client
from demo.project import run
from tests.gitlab.team import Team, admin
from tests.gitlab.test_pipelines import ENDS, TIMEOUT_S
from tests.programs import tried


@dataclass(frozen=True)
class Made:
    """The project.

    Attributes:
        name: its name.
        folder: its repository.
        commit: that of the first push.
        pipeline: that of the first push, once it has ended.
        jobs: its jobs by name.
    """

    name: str
    folder: Path
    commit: str
    pipeline: dict[str, Any]
    jobs: dict[str, str]


@pytest.fixture(scope="module")
def made(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project of the admin's, pushed as the command says that it is to be."""
    name = f"whales-{uuid4().hex[:6]}"
    folder = tmp_path_factory.mktemp("beside") / name
    told = team.project.make_json("new-project", f"NAME={name}", f"DIR={folder}", "MEMBERS=admin")
    assert told["directory"] == str(folder)
    where = f"git.{team.project.domain}:{team.project.ssh_port}"
    assert told["url"] == f"ssh://git@{where}/{team.project.name}/{name}.git"
    key = " ".join(["ssh", *team.project.ssh_options])
    run("git", "push", "--quiet", "-u", "origin", "main", cwd=folder, env={"GIT_SSH_COMMAND": key})
    commit = run("git", "rev-parse", "HEAD", cwd=folder).strip()
    path = f"/projects/{team.project.name}%2F{name}/pipelines"

    def ended() -> dict[str, Any] | None:
        (found,) = team.api("GET", path, params={"sha": commit}).json()
        return found if found["status"] in ENDS else None

    pipeline = await_result("the first pipeline", ended, TIMEOUT_S)
    rows = [row for row in team.state["jobs"].values() if row["pipeline"] == pipeline["id"]]
    logs = "\n".join(f"{row['name']}:\n{row['trace']}" for row in rows)
    assert pipeline["status"] == "success", f"{pipeline['yaml_errors'] or ''}{logs}"
    return Made(name, folder, commit, pipeline, {row["name"]: row["status"] for row in rows})


@pytest.fixture(scope="module")
def first(team: Team, made: Made) -> dict[str, Any]:
    """The run that the first push made."""
    found = client(team.project).run_of_commit(made.name, made.commit)
    assert found
    return found


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def test_the_first_push_runs_green(team: Team, made: Made) -> None:
    steps = ("check", "load", "train", "register")
    assert made.jobs == {f"{made.name} {step}": "success" for step in steps}
    entry = yaml.safe_load(team.settings.read_text())["projects"][-1]
    assert entry == {"name": made.name, "members": ["admin"]}
    members = team.api("GET", f"/projects/{team.project.name}%2F{made.name}/members").json()
    assert [each["username"] for each in members] == [admin()]


def reproduced(team: Team, number: str) -> tuple[int, dict[str, Any], str]:
    """Reproduce a run: exit status, what was printed for scripts, what was said."""
    program = str(team.project.path / ".venv/bin/dap")
    done = tried(team.project.path, program, "reproduce", number, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr


@pytest.fixture(scope="module")
def left(team: Team) -> Iterator[None]:
    """Nothing is left of a reproduction, or of one that could not be."""

    def state() -> list[Any]:
        repositories = "/var/opt/gitlab/git-data/repositories"
        listing = f"for r in {repositories}/*/*.git; do git -C $r for-each-ref refs/heads; done"
        heads = team.execute("gitlab", "sh", "-c", f"export GIT_CONFIG_COUNT=1 {SAFE}; {listing}")
        return [heads, team.state["branches"]]

    before = state()
    yield
    assert state() == before


SAFE = "GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'"


@pytest.mark.usefixtures("left")
def test_its_run_reproduces_with_equal_metrics(
    team: Team, made: Made, first: dict[str, Any]
) -> None:
    status, done, said = reproduced(team, first["info"]["run_id"])
    assert status == 0, said
    assert done["ok"]
    assert {metric["name"] for metric in done["metrics"]} >= {"test_log_loss", "train_log_loss"}
    assert {metric["difference"] for metric in done["metrics"]} == {0}
    old, new = tags(first), tags(client(team.project).run(done["reproduction"]))
    for tag in ("commit", "image", "job", "data", "data_version"):
        assert new[tag] == old[tag], tag
    assert "/environments/python@sha256:" in new["image"]
    assert new["dap.reproduces"] == first["info"]["run_id"]
    assert new["pipeline_id"] == str(done["pipeline"])
    rows = [row for row in team.state["jobs"].values() if row["pipeline"] == done["pipeline"]]
    assert [(row["name"], row["status"]) for row in rows] == [(f"{made.name} train", "success")]


@pytest.mark.usefixtures("left")
def test_what_is_gone_is_named(team: Team, first: dict[str, Any]) -> None:
    """Commit, image and table, each with what can be done; no pipeline is made."""
    service = client(team.project)
    image = f"registry.{team.project.domain}/environments/python@sha256:{'0' * 64}"
    gone = {**tags(first), "commit": "0" * 40, "image": image, "data": "table:gone_1"}
    number = service.mlflow(
        "runs/create",
        experiment_id=first["info"]["experiment_id"],
        start_time=1,
        tags=[{"key": key, "value": value} for key, value in gone.items()],
    )["run"]["info"]["run_id"]
    service.mlflow("runs/update", run_id=number, status="FINISHED", end_time=2)
    before = team.state["pipelines"]
    status, done, said = reproduced(team, number)
    assert (status, done["ok"], len(done["problems"])) == (1, False, 3), said
    assert f"commit: {'0' * 40} is in no branch or tag of the repository" in said
    assert f"image: {image} is not in the registry" in said
    assert "data: table:gone_1, version " in said
    assert team.state["pipelines"] == before
