"""The demo, run once as a user runs it; every test here looks at what it left."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from demo.access import Access, Clock
from demo.flow import PLATFORM, Outcome, admin, deploy, push_and_wait
from demo.project import Project
from tests.programs import tried

OTHER = "dap-refused"  # name of a second project, which is never deployed


@dataclass
class Platform:
    """The running platform.

    Attributes:
        project: the project that it was deployed from.
        outcome: what the push of the example led to.
    """

    project: Project
    outcome: Outcome

    @property
    def name(self) -> str:
        return self.project.name

    @property
    def domain(self) -> str:
        return self.project.domain

    @cached_property
    def admin(self) -> Access:
        return admin(self.project)

    @cached_property
    def anonymous(self) -> Access:
        return Access(self.domain)

    @cached_property
    def docker(self) -> docker.DockerClient:
        return docker.from_env()

    @property
    def plan(self) -> dict[str, Any]:
        """`plan.json` of this host as it is now, as root reads it."""
        text = privileged("cat", f"/srv/dap/{self.name}/plan.json")
        plan: dict[str, Any] = json.loads(text)
        return plan

    def containers(self, *, stopped: bool = False) -> dict[str, Container]:
        """Containers of the platform's Compose project by service name; no one-shot tasks."""
        label = f"com.docker.compose.project={self.name}"
        found = self.docker.containers.list(all=stopped, filters={"label": label})
        return {c.labels["com.docker.compose.service"]: c for c in found}

    def container(self, service: str) -> Container:
        return self.containers()[service]

    def volumes(self) -> set[str]:
        label = f"com.docker.compose.project={self.name}"
        return {v.name for v in self.docker.volumes.list(filters={"label": label})}

    def started(self) -> dict[str, str]:
        """Start time of each container."""
        return {name: c.attrs["State"]["StartedAt"] for name, c in self.containers().items()}

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a service's container; what it printed."""
        code, output = self.container(service).exec_run(list(command))
        text = b"".join(output).decode() if not isinstance(output, bytes) else output.decode()
        assert code == 0, text
        return text

    def dap(self, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
        """Run `dap` in the project, as on a terminal of that width; its status is the caller's."""
        program = str(self.project.path / ".venv" / "bin" / "dap")
        return tried(self.project.path, program, *arguments, COLUMNS=str(columns))

    def service_query(self, database: str, query: str) -> list[list[str]]:
        """Ask the database of the services; rows of texts."""
        text = self.execute(
            "postgres-service", "psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", database,
            "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", query,
        )  # fmt: skip
        return [line.split("\t") for line in text.splitlines()]

    def secrets(self) -> set[str]:
        """Every secret value that was put beside the tree, long enough to be searched for."""
        listing = privileged(
            "find", f"/srv/dap/{self.name}/secrets", "-type", "f", "-exec", "cat", "{}", "+"
        )
        generated = {
            word
            for line in listing.splitlines()
            for word in line.replace('"', " ").replace(":", " ").replace("=", " ").split()
            if len(word) in {32, 64} and word.isalnum() and not word.isdigit()
        }
        return generated | {self.project.password}


def privileged(*command: str) -> str:
    """Run a command as root; what it printed."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*sudo, *command], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def platform(pytestconfig: pytest.Config) -> Iterator[Platform]:
    """The demo's platform; removed with its data afterwards unless DAP_KEEP=1."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    clock = Clock()
    with capture.global_and_fixture_disabled():
        print()
        deploy(PLATFORM, clock)
        outcome = push_and_wait(PLATFORM, clock)
    yield Platform(PLATFORM, outcome)
    if os.environ.get("DAP_KEEP") != "1":
        PLATFORM.make("destroy", f"DELETE_DATA={PLATFORM.name}")


@pytest.fixture
def ports(platform: Platform) -> list[int]:
    """Ports of the platform's address that nothing uses, as many as the settings have."""
    wanted = platform.plan["settings"]["ports"]
    held = [socket.create_server((platform.project.address, 0)) for _ in wanted]
    numbers = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return numbers


@pytest.fixture
def other(platform: Platform, ports: list[int], tmp_path: Path) -> Path:
    """A second project of another name with ports of its own, never deployed."""
    root = tmp_path / "project"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".dap", "vault.yml")
    shutil.copytree(platform.project.path, root, ignore=unwanted)
    numbers = dict(zip(platform.plan["settings"]["ports"], ports, strict=True))
    text = (root / "platform.yml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("name:", "ports:"))]
    text = "\n".join([f"name: {OTHER}", f"ports: {numbers}", *kept, ""])
    (root / "platform.yml").write_text(text)
    return root
