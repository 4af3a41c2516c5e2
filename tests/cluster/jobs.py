"""A platform that runs jobs in the tests' cluster: GitLab's own runner, a stand-in of GitLab."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from demo.access import await_result
from demo.project import REPOSITORY, Project, run
from tests.cluster import image
from tests.cluster.cluster import Cluster
from tests.cluster.platform import DOMAIN, ClusterPlatform
from tests.gitlab import team

PORTS = {"http": 32080, "https": 32443, "ssh": 32222, "postgres": 32432, "workspaces": 32200}
SLOTS = 2
ENDS = {"success", "failed", "canceled", "skipped"}
PIPELINE_S = 600
FILE = ".gitlab-ci.yml"
# What a log has before its lines since GitLab's runner 18.7, and colours.
MARKS = re.compile(r"(?m)^\d{4}-\S+Z \d\d[OE][ +]|\x1b\[[0-9;]*[A-Za-z]|\r")


@dataclass(frozen=True)
class Pushed:
    """A branch with a pipeline: what it is called, and its commit."""

    branch: str
    commit: str


@dataclass
class JobsPlatform(ClusterPlatform):
    """A platform with forge gitlab, and no workspace."""

    @classmethod
    def on(cls, cluster: Cluster) -> JobsPlatform:
        """The platform of a cluster, beside the one that has workspaces."""
        name, directory = f"{cluster.name}-gl", cluster.directory / "gitlab"
        project = Project(directory, name, DOMAIN, cluster.addresses.node, PORTS["ssh"])
        return cls(cluster, project, ports=PORTS)

    @property
    def standin(self) -> str:
        """Image of the stand-in of GitLab."""
        return team.image("gitlab", image.base())

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        made = image.have(*image.RUNNERS)
        overrides = {"gitlab": self.standin, "gitlab-runner": made["gitlab-runner"]}
        cluster = {"slots": SLOTS, "job": {"cpus": 1, "memory": "1g"}}
        return found | {
            "forge": "gitlab",
            "workspaces": [],
            "images": {"overrides": overrides},
            "options": {"gitlab-runner": {"helper_image": made["gitlab-runner-helper"]}},
            "resources": {"gitlab": {"memory": "6g"}},
            "cluster": found["cluster"] | cluster,
        }

    def load(self) -> None:
        super().load()
        self.cluster.load(self.standin, *image.have(*image.RUNNERS).values())

    @property
    def space(self) -> str:
        """Namespace of the jobs."""
        return f"{self.project.name}-jobs"

    def jobs(self) -> list[dict[str, Any]]:
        """Pods of the jobs' namespace but for the runner's."""
        listed = self.cluster.get("pods", "--namespace", self.space)["items"]
        return [pod for pod in listed if pod["metadata"]["name"].startswith("runner-")]

    @property
    def _token(self) -> str:
        secret = self.cluster.get("secret", "content", "--namespace", self.project.name)
        vault = json.loads(base64.b64decode(secret["data"]["vault.json"]))
        return str(vault["gitlab/token"])

    def api(self, method: str, path: str, **given: Any) -> requests.Response:
        """Ask GitLab's API about the first project, as root and through the entry."""
        path = f"/api/v4/projects/{self.project.name}%2F{REPOSITORY}{path}"
        headers = {"PRIVATE-TOKEN": self._token}
        return self.anonymous.request(method, "git", path, headers=headers, **given)

    def push(self, files: Mapping[str, str | Path], branch: str = "") -> Pushed:
        """Push files, and no others, as the next commit of a branch by SSH, as the first user does.

        Args:
            files: path → text, or the folder or file that it is a copy of.
            branch: where to; one of its own without.
        """
        branch = branch or f"try-{uuid4().hex[:8]}"
        project = self.project
        reach = f"-oHostName={self.entry} -oHostKeyAlias=git.{project.domain}"
        ssh = {"GIT_SSH_COMMAND": f"{shlex.join(['ssh', *project.ssh_options])} {reach}"}
        where = f"git.{project.domain}:{project.ssh_port}/{project.name}/{REPOSITORY}.git"
        who = ("-c", "user.name=Test", "-c", f"user.email=test@{project.domain}")
        remote, ref = f"ssh://git@{where}", f"refs/heads/{branch}"
        with tempfile.TemporaryDirectory() as folder:
            run("git", "init", "--quiet", cwd=Path(folder))
            if run("git", "ls-remote", remote, ref, cwd=Path(folder), env=ssh):
                run("git", "fetch", "--quiet", remote, ref, cwd=Path(folder), env=ssh)
                run("git", "reset", "--quiet", "--soft", "FETCH_HEAD", cwd=Path(folder))
            for name, given in files.items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(given, str):
                    file.write_text(given, encoding="utf-8")
                elif given.is_dir():
                    shutil.copytree(given, file, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(given, file)
            run("git", "add", "--all", cwd=Path(folder))
            run("git", *who, "commit", "--quiet", "--allow-empty", "-m", branch, cwd=Path(folder))
            run("git", "push", "--quiet", remote, f"HEAD:{ref}", cwd=Path(folder), env=ssh)
            commit = run("git", "rev-parse", "HEAD", cwd=Path(folder)).strip()
        return Pushed(branch, commit)

    def pipeline(self, pushed: Pushed) -> dict[str, Any]:
        """The pipeline of a push, as it is now."""
        answer = self.api("GET", "/pipelines", params={"sha": pushed.commit})
        answer.raise_for_status()
        (found,) = answer.json()
        return dict(found)

    def ended(self, pushed: Pushed) -> dict[str, Any]:
        """The pipeline of a push, once it has ended."""

        def asked() -> dict[str, Any] | None:
            found = self.pipeline(pushed)
            return found if found["status"] in ENDS else None

        return await_result(f"the pipeline of {pushed.branch}", asked, PIPELINE_S)

    def jobs_of(self, pushed: Pushed) -> dict[str, dict[str, Any]]:
        """The jobs of a push's pipeline by name, each with its log as people read it."""
        number = self.pipeline(pushed)["id"]
        rows = self.api("GET", f"/pipelines/{number}/jobs", params={"per_page": "100"}).json()
        return {
            row["name"]: row
            | {"log": MARKS.sub("", self.api("GET", f"/jobs/{row['id']}/trace").text)}
            for row in rows
        }

    def ran(self, script: str) -> dict[str, Any]:
        """A job that runs lines of a script in the environment python, once it has ended."""
        pushed = self.push({FILE: job(script)})
        self.ended(pushed)
        return self.jobs_of(pushed)["it"]

    def log(self) -> str:
        """What the runner has said."""
        space = ("--namespace", self.space)
        return self.cluster.kubectl(*space, "logs", "deployment/gitlab-runner")


def job(script: str, name: str = "it", **rest: Any) -> str:
    """A pipeline of one job, as JSON, which YAML reads."""
    lines = [line for line in script.splitlines() if line]
    return json.dumps({name: {"image": "$DAP_ENVIRONMENT_PYTHON", "script": lines, **rest}})
