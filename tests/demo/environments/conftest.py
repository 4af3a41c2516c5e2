"""The platform's repository as somebody's clone, whose pushes build environments."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.access import await_result
from demo.flow import ASKED, PIPELINE_ENDS
from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.programs import printed

SMALL, SMALLER = "small", "smaller"
# The analyses' jobs are left out: they are no part of this and take their time.
PIPELINE = """\
stages: [environments, look]

include:
  - local: /environments/.gitlab-ci.yml

look:
  stage: look
  image: $DAP_ENVIRONMENT_SMALL
  needs: []
  rules:
    - exists: [environments/lock.yml]
  script:
    - cat /etc/small
"""
TEST = """\
from collections.abc import Callable


def test_the_file_says_what_it_should(job: Callable[[str], str]) -> None:
    assert job("cat /etc/small") in {"one\\n", "two\\n"}
"""
BUILD = "build environments"


@dataclass(frozen=True)
class Ended:
    """A pipeline that has ended: its state, its jobs by name, and their logs."""

    state: dict[str, Any]
    logs: dict[str, str]

    @property
    def jobs(self) -> dict[str, str]:
        return {job["name"]: job["status"] for job in self.state["jobs"]}

    @property
    def images(self) -> dict[str, str]:
        images: dict[str, str] = self.state["images"]
        return images


class Clone:
    """A clone of the platform's repository."""

    def __init__(self, platform: Platform, path: Path) -> None:
        self.platform = platform
        self.path = path
        project = platform.project
        self.ssh = ["ssh", *project.ssh_options]
        remote = f"ssh://git@git.{project.domain}:{project.ssh_port}/{REPOSITORY}"
        self.git("clone", "--quiet", remote, ".")
        for key, value in (("name", "Ada"), ("email", "ada@example.org")):
            self.git("config", f"user.{key}", value)
        self.start = self.git("rev-parse", "HEAD").strip()

    def git(self, *words: str) -> str:
        return printed(self.path, "git", *words, GIT_SSH_COMMAND=shlex.join(self.ssh))

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def environment(self, name: str, parent: str, run: str) -> None:
        """Write an environment of one command."""
        self.write(f"environments/{name}/environment.yml", f"description: x\nparent: {parent}\n")
        dockerfile = f"FROM parent\nUSER 0\nRUN {run}\nUSER 1000\n"
        self.write(f"environments/{name}/Dockerfile", dockerfile)

    def push(self, message: str) -> int:
        """Commit all and push; the pipeline's number."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.pushed()

    def pushed(self) -> int:
        answer = self.git("push", "origin", "HEAD:main")
        asked = ASKED.search(answer)
        assert asked, answer
        return int(asked[1])

    def ended(self, number: int, timeout_s: float = 180) -> Ended:
        """Wait for the end of a pipeline."""
        access = self.platform.admin

        def look() -> dict[str, Any] | None:
            answer = access.pipeline(REPOSITORY, number)
            found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return found if found.get("status") in PIPELINE_ENDS else None

        state = await_result(f"the end of pipeline {number}", look, timeout_s)
        logs = {
            job["name"]: access.pipeline(REPOSITORY, number, job["log"]).text
            for job in state["jobs"]
            if job["started"]
        }
        return Ended(state, logs)

    def lock_pipeline(self, after: int) -> int:
        """Number of the pipeline that the commit of a lock started."""
        number = after + 1
        answer = self.platform.admin.pipeline(REPOSITORY, number)
        assert answer.status_code == 200, f"no pipeline {number}"
        assert answer.json()["user"] == "dap.lock"
        return number

    def pull(self) -> str:
        """Take over what the forge has; the commit."""
        self.git("pull", "--quiet", "--ff-only", "origin", "main")
        return self.git("rev-parse", "HEAD").strip()

    @property
    def lock(self) -> dict[str, dict[str, str]]:
        path = self.path / "environments" / "lock.yml"
        entries: dict[str, dict[str, str]] = yaml.safe_load(path.read_text())
        return entries

    def tags(self, name: str) -> set[str]:
        """Tags of an environment in the registry."""
        answer = self.platform.admin.request(
            "GET", "registry", f"/v2/environments/{name}/tags/list"
        )
        return set(answer.json()["tags"]) if answer.status_code == 200 else set()

    def job_container(self, number: int) -> dict[str, Any]:
        """Wait for the container that builds, and describe it as the engine does."""
        label: dict[str, Any] = {"label": f"dap.pipeline={number}"}

        def look() -> dict[str, Any] | None:
            found = self.platform.docker.containers.list(filters=label)
            attributes = (container.attrs for container in found)
            named = (
                each for each in attributes
                if re.search(r"/image-builder@sha256:", each["Config"]["Image"])
                and each["Config"]["WorkingDir"]
            )  # fmt: skip
            return next(named, None)

        return await_result(f"the container of pipeline {number}", look, 60, every_s=0.2)


@pytest.fixture(scope="module")
def clone(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone; what is pushed from it is taken back."""
    clone = Clone(platform, tmp_path_factory.mktemp("clone"))
    clone.write(".gitlab-ci.yml", PIPELINE)
    settings = (clone.path / "platform.yml").read_text()
    clone.write("platform.yml", f"{settings}\nenvironments: [python, {SMALL}, {SMALLER}]\n")
    yield clone
    clone.git("push", "--force", "-o", "ci.skip", "origin", f"{clone.start}:main")
