"""A push that changes an environment: a job builds and tests it, pushes it and locks it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.access import await_result
from demo.flow import admin as client
from demo.project import REPOSITORY
from tests.gitlab.conftest import Clone, clone
from tests.gitlab.team import OTHER, Team
from tests.gitlab.test_pipelines import ENDS, TIMEOUT_S

SMALL, BUILD = "small", "build environments"
PIPELINE = "stages: [environments]\ninclude:\n  - local: /environments/.gitlab-ci.yml\n"
DOCKERFILE = "FROM parent\nUSER 0\nRUN echo one >/etc/small\nUSER 1000\n"
TEST = """\
from collections.abc import Callable


def test_the_file_says_what_it_should(job: Callable[[str], str]) -> None:
    assert job("cat /etc/small") == "one\\n"
"""
SETTINGS = {"domain": "x.test", "environments": ["python", SMALL]}


@dataclass(frozen=True)
class Built:
    """What a push led to: a clone that has the lock, the pipeline, the job, its container."""

    mine: Clone
    pipeline: dict[str, Any]
    job: dict[str, Any]
    container: dict[str, Any]

    @property
    def lock(self) -> dict[str, dict[str, str]]:
        """What stands in the lock."""
        found: dict[str, dict[str, str]]
        found = yaml.safe_load((self.mine.place / "environments/lock.yml").read_text())
        return found


@pytest.fixture(scope="module")
def built(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The platform's own files and a small environment more, pushed by a member."""
    place = tmp_path_factory.mktemp("environments") / "clone"
    mine = clone(team, OTHER, place)
    mine.follow()
    files = subprocess.run(
        ["git", "archive", "HEAD", "environments", "infrastructure"],
        cwd=team.project.path,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "--extract"], cwd=place, input=files.stdout, check=True)
    for name, text in {
        "platform.yml": yaml.safe_dump(SETTINGS),
        f"environments/{SMALL}/environment.yml": "description: x\nparent: base\n",
        f"environments/{SMALL}/Dockerfile": DOCKERFILE,
        f"environments/{SMALL}/tests/test_small.py": TEST,
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    commit = mine.commit(".gitlab-ci.yml", PIPELINE)
    mine.git("push", "--quiet", "origin", "HEAD:main")
    path = f"/projects/{team.project.name}%2F{REPOSITORY}/pipelines"
    label = [f"dap.platform={team.project.name}", "dap.pipeline"]

    def running() -> Any:
        found = team.docker.containers.list(filters={"label": label}, ignore_removed=True)
        return next((each.attrs for each in found if str(each.name).endswith("-build")), None)

    container = await_result("the job", running, 60, 0.1)

    def ended() -> dict[str, Any] | None:
        (found,) = team.api("GET", path, params={"sha": commit}).json()
        return found if found["status"] in ENDS else None

    pipeline = await_result("the pipeline", ended, TIMEOUT_S)
    rows = [row for row in team.state["jobs"].values() if row["pipeline"] == pipeline["id"]]
    assert [row["name"] for row in rows] == [BUILD], rows
    assert pipeline["status"] == "success", rows[0]["trace"]
    mine.follow()
    return Built(mine, pipeline, rows[0], container)


def test_it_builds_what_is_new_and_locks_it(team: Team, built: Built) -> None:
    assert f"building environments/{SMALL}" in built.job["trace"]
    assert "building environments/base" not in built.job["trace"]
    assert "passed" in built.job["trace"]
    image, _, digest = built.lock[SMALL]["image"].partition("@")
    answer = client(team.project).request(
        "HEAD",
        "registry",
        f"/v2/{image}/manifests/{digest}",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )
    assert answer.status_code == 200


def test_the_lock_is_a_commit_that_starts_no_pipeline(team: Team, built: Built) -> None:
    head = built.mine.git("log", "-1", "--format=%an %H").split()
    assert head[0] == "dap.lock"
    path = f"/projects/{team.project.name}%2F{REPOSITORY}/pipelines"
    assert team.api("GET", path, params={"sha": head[1]}).json() == []


def test_the_job_is_not_root_and_has_no_more_than_a_build_needs(built: Built) -> None:
    host = built.container["HostConfig"]
    assert built.container["Config"]["User"] == "1000:1000"
    assert (host["Privileged"], host["CapDrop"], host["Devices"]) == (False, ["ALL"], None)
    assert "seccomp=unconfined" not in host["SecurityOpt"]
    sources = {mount["Source"] for mount in built.container["Mounts"] if mount["Type"] == "bind"}
    assert [Path(each).name for each in sources] == ["ca.pem"]
