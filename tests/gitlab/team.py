"""A platform whose forge is GitLab, on this machine: the stand-in's containers, all else real."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests
import yaml
from dap.catalogue import read_catalogue
from dap.plan import make_plan
from dap.settings import load
from docker.models.containers import Container

from demo.access import SYSTEM_CA, await_result
from demo.flow import PLATFORM
from demo.project import ADMIN, Project, run

HERE = Path(__file__).resolve().parent
LABEL = "dap.standin"
# How long the first start of the stand-in answers 502, in seconds: content has to wait that long.
BOOT_S = 20
OTHER = "ada"
STATE = "/var/opt/gitlab/standin/state.json"
DIE_ONCE = "/var/opt/gitlab/standin/die-once"
REQUESTS = "/var/log/gitlab/requests"


def beside(project: Project) -> Project:
    """Return a project for a platform that can run beside another's."""
    first, second, _, last = project.address.split(".")
    name = f"{project.name}-gitlab"
    address = f"{first}.{second}.1.{last}"
    return Project(project.directory.with_name(name), name, f"{name}.test", address)


@dataclass
class Team:
    """The platform.

    Attributes:
        project: the project that it is deployed from.
        first: what its first deploy said.
    """

    project: Project
    first: dict[str, Any]

    @classmethod
    def scaffold(cls) -> Team:
        """Make the project: two people, and the stand-ins where GitLab's images would be."""
        project = beside(PLATFORM)
        project.scaffold()
        file = project.path / "platform.yml"
        settings = yaml.safe_load(file.read_text())
        settings["forge"] = "gitlab"
        settings["users"] = [
            settings["users"][0],
            {
                "name": OTHER,
                "email": f"{OTHER}@{project.domain}",
                "ssh_keys": [_key(project.directory / OTHER, OTHER)],
            },
        ]
        settings["workspaces"][0] |= {"cpus": 1, "memory": "2g"}
        file.write_text(yaml.safe_dump(settings, sort_keys=False))
        base = make_plan(load(file), read_catalogue(project.path)).images.base.reference
        images = {name: image(name, base) for name in ("gitlab", "gitlab-runner")}
        settings["images"] = {"overrides": images}
        settings["options"] = {"gitlab-runner": {"helper_image": images["gitlab-runner"]}}
        file.write_text(yaml.safe_dump(settings, sort_keys=False))
        project.commit("A platform for a team")
        return cls(project, {})

    @property
    def settings(self) -> Path:
        """Its platform.yml."""
        return self.project.path / "platform.yml"

    @cached_property
    def docker(self) -> docker.DockerClient:
        return docker.from_env()

    def containers(self) -> dict[str, Container]:
        """Its running containers by compose service; no tasks, no jobs."""
        label = f"com.docker.compose.project={self.project.name}"
        found = self.docker.containers.list(filters={"label": label})
        return {each.labels["com.docker.compose.service"]: each for each in found}

    def started(self) -> dict[str, tuple[str, str]]:
        """Which containers there are and when each was started."""
        found = self.containers().items()
        return {name: (str(c.id), c.attrs["State"]["StartedAt"]) for name, c in found}

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a service's container; what it printed."""
        # By Docker's own client: docker-py loses the beginning of an output now and then.
        return run("docker", "exec", str(self.containers()[service].id), *command)

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the stand-in knows."""
        found: dict[str, Any] = json.loads(self.execute("gitlab", "cat", STATE))
        return found

    @property
    def recorded(self) -> list[str]:
        """Every request of content that the stand-in got: METHOD PATH QUERY BODY."""
        return self.execute("gitlab", "cat", REQUESTS).splitlines()

    def user(self, name: str) -> dict[str, Any]:
        """Return an account by its name in GitLab."""
        rows = self.state["users"].values()
        return next(row for row in rows if row["username"] == name)

    def runners(self) -> dict[str, dict[str, Any]]:
        """Return the runners by description; each of the platform's must be there once."""
        names = [row["description"] for row in self.state["runners"].values()]
        ours = [name for name in names if name.startswith(f"{self.project.name}/")]
        assert len(ours) == len(set(ours)), ours
        return {row["description"]: row for row in self.state["runners"].values()}

    def tokens_of_runner(self) -> dict[str, str]:
        """Return runner → token of the configuration that the runner's container has."""
        text = self.execute("gitlab-runner", "cat", "/etc/gitlab-runner/config.toml")
        return {runner["name"]: runner["token"] for runner in tomllib.loads(text)["runners"]}

    def secret(self, name: str) -> str:
        """Return a secret as content has it."""
        place = f"/srv/dap/{self.project.name}/secrets/content/content/vault.json"
        found: dict[str, str] = json.loads(Path(place).read_text())
        return found[name]

    def api(self, method: str, path: str, **given: Any) -> requests.Response:
        """Ask GitLab's API as root, through the proxy."""
        return requests.request(
            method,
            f"https://git.{self.project.domain}/api/v4{path}",
            headers={"PRIVATE-TOKEN": self.secret("gitlab/token")},
            verify=str(SYSTEM_CA),
            timeout=30,
            **given,
        )

    def restart(self) -> None:
        """Restart GitLab; returns when it answers."""
        self.containers()["gitlab"].restart()
        await_result("GitLab", lambda: self.api("GET", "/version").ok or None, 60, 0.2)

    def deploy(self) -> dict[str, Any]:
        """Run `make deploy`; what it says with JSON=1."""
        found: dict[str, Any] = self.project.make_json("deploy")
        return found


def _key(file: Path, name: str) -> str:
    """Make somebody's SSH key, if it is not there; the public half."""
    if not file.exists():
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)]
        subprocess.run(make, check=True)
    return file.with_suffix(".pub").read_text().strip()


def image(name: str, base: str) -> str:
    """Name of the image of a stand-in; made from `base`, the platform's own, if it is not there.

    The platform's base is there once any platform was deployed here.
    """
    files = sorted(path for path in HERE.glob("*/*") if path.parent.name in ("image", "standin"))
    made_of = [(path.name, path.read_bytes()) for path in files if path.is_file()]
    tag = hashlib.sha256(repr((base, BOOT_S, made_of)).encode()).hexdigest()[:12]
    reference = f"dap-standin/{name}:{tag}"
    if not docker.from_env().images.list(reference):
        arguments = {"BASE": base, "BOOT_S": str(BOOT_S)}
        given = [part for pair in arguments.items() for part in ("--build-arg", "=".join(pair))]
        command = ["docker", "build", "--quiet", "--tag", reference, "--label", f"{LABEL}={name}"]
        target = [
            "--target",
            name.removeprefix("gitlab-"),
            "--file",
            str(HERE / "image/Dockerfile"),
        ]
        subprocess.run([*command, *given, *target, str(HERE)], check=True)
    return reference


def admin() -> str:
    """What the first user is called in GitLab, which keeps `admin` for itself."""
    return f"{ADMIN}-{beside(PLATFORM).name}"
