"""The shipped catalogue on the tests' cluster, from a project as an operator has one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import yaml

from demo.access import Access
from demo.project import ADMIN, Project, clean_environment, run
from tests.cluster import image
from tests.cluster.cluster import Cluster
from tests.fleet.platform import Named
from tests.fleet.seed import build, references
from tests.programs import tried
from tests.pulumi import engine

DOMAIN = "dap.test"
PORTS = {"http": 30080, "https": 30443, "ssh": 30222, "postgres": 30432, "workspaces": 30200}
WORKSPACE = "admin-python"


@dataclass
class ClusterPlatform:
    """A platform with one workspace, and no pipelines.

    Attributes:
        cluster: that it is on.
        project: that it is deployed from.
        first: what its first deploy said.
        ports: of its nodes, by what the settings call them.
    """

    cluster: Cluster
    project: Project
    first: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: PORTS)

    @classmethod
    def on(cls, cluster: Cluster) -> ClusterPlatform:
        """The platform of a cluster."""
        directory = cluster.directory / "platform"
        return cls(
            cluster, Project(directory, cluster.name, DOMAIN, cluster.addresses.node, PORTS["ssh"])
        )

    def scaffold(self) -> None:
        """Make the project from the template; an earlier one goes with its key and state."""
        if self.project.path.exists():
            shutil.rmtree(self.project.path)
            self.project.forget_key()
            # The next platform has another host key.
            (self.project.directory / "known_hosts").unlink(missing_ok=True)
        self.project.scaffold()
        file = self.project.path / "platform.yml"
        settings: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings.pop("hosts")
        settings |= self.settings()
        file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        run("infrastructure/bootstrap", cwd=self.project.path)
        engine.Engine(self.project.directory).install()

    def settings(self) -> dict[str, Any]:
        """What its settings have in the place of the template's."""
        return {
            "target": "kubernetes",
            "ports": self.ports,
            "environments": ["python"],
            "workspaces": [
                {"name": WORKSPACE, "owner": ADMIN, "environment": "python", "memory": "2g"}
            ],
            "cluster": {
                "context": "cluster",
                "kubeconfig": str(self.cluster.kubeconfig),
                "service": "NodePort",
                "size": "1g",
                "slots": 0,
            },
        }

    def load(self) -> None:
        """Give the node the platform's images, as a registry that is near would."""
        trees = self.project.directory / "trees"
        shutil.rmtree(trees, ignore_errors=True)
        self.dap("render", "--out", str(trees)).check_returncode()
        tree = trees / "cluster"
        build(tree)
        self.cluster.load(*references(tree))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of an operator who has Pulumi."""
        return {
            "COLUMNS": "200",
            "PATH": f"{image.tool('pulumi').parent}:{os.environ['PATH']}",
            "PULUMI_HOME": str(self.project.directory / "home"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def dap(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run `dap` in the project, which reads what is given; its status is the caller's."""
        program = str(self.project.path / ".venv" / "bin" / "dap")
        return tried(self.project.path, program, *arguments, given=given, **self.variables)

    @contextmanager
    def cluster_settings(self, **cluster: Any) -> Iterator[None]:
        """Have other settings of the cluster for a while."""
        file = self.project.path / "platform.yml"
        text = file.read_text(encoding="utf-8")
        data = yaml.safe_load(text)
        data["cluster"] |= cluster
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")

    @contextmanager
    def begun(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Have `dap` at work in the project; killed at the end if it still is."""
        program = str(self.project.path / ".venv" / "bin" / "dap")
        process = subprocess.Popen(
            [program, *arguments],
            cwd=self.project.path,
            env=clean_environment() | self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Who runs the tests in the background has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def deploy(self) -> dict[str, Any]:
        """Deploy; what it says as JSON.

        Raises:
            AssertionError: it failed.
        """
        done = self.dap("deploy", "--json")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found | {"said": done.stderr}

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The platform's plan.json."""
        place = self.project.directory / "trees" / "cluster" / "plan.json"
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return found

    @cached_property
    def ca(self) -> Path:
        """File with the platform's CA."""
        path = self.project.directory / "ca.pem"
        path.write_text(self.dap("credentials", "--ca").stdout, encoding="utf-8")
        return path

    @cached_property
    def credentials(self) -> dict[str, Any]:
        """What `make credentials` shows the first user."""
        said = self.dap("credentials", "--user", ADMIN, "--json").stdout
        found: dict[str, Any] = json.loads(said)
        return found

    @cached_property
    def admin(self) -> Access:
        """Requests as the first user."""
        return self._access(ADMIN, str(self.credentials["password"]))

    @cached_property
    def anonymous(self) -> Access:
        """Requests as nobody."""
        return self._access("", "")

    @property
    def entry(self) -> str:
        """Address at which this machine reaches its proxy."""
        return self.cluster.addresses.node

    def _access(self, user: str, password: str) -> Access:
        session = requests.Session()
        session.mount("https://", Named(self.entry))
        session.trust_env = False  # no proxy and no .netrc of this machine
        domain = f"{self.project.domain}:{self.ports['https']}"
        return Access(domain, user, password, session, self.ca)

    def pods(self) -> dict[str, dict[str, Any]]:
        """Its pods by their names."""
        found = self.cluster.get("pods", "--namespace", self.project.name)["items"]
        return {each["metadata"]["name"]: each for each in found}
