"""A platform on a fleet of fresh hosts, and how its users reach it from this machine."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml
from requests.adapters import HTTPAdapter

from demo.access import Access
from demo.project import ADMIN, Project, run
from tests.fleet.hosts import Fleet, FreshHost
from tests.fleet.seed import seed
from tests.programs import tried

FORGE = "git"  # its name below the domain
# One on each runner host.
WORKSPACES: list[dict[str, Any]] = [
    {"name": "ada-one", "owner": ADMIN, "environment": "python", "host": "r1", "memory": "2g"},
    {"name": "ada-two", "owner": ADMIN, "environment": "base", "host": "r2", "memory": "1g"},
]


class Named(HTTPAdapter):
    """Reaches every name at one address, as DNS would; certificates must bear the name."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> Any:
        """Connect to the address, ask for the name."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        name = host["host"]
        return {**host, "host": self.address}, {
            **pool,
            "server_hostname": name,
            "assert_hostname": name,
        }

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        """Say the name."""
        request.headers["Host"] = urlsplit(str(request.url)).netloc


@dataclass
class FleetPlatform:
    """A platform of which hub is the service host.

    Attributes:
        fleet: its hosts.
        project: the project that it is deployed from.
        first: what its first deploy said.
    """

    fleet: Fleet
    project: Project
    first: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def on(cls, fleet: Fleet) -> FleetPlatform:
        """Name a platform after the fleet that it is to run on."""
        hub = next(iter(fleet.hosts.values()))
        name = fleet.name
        return cls(fleet, Project(fleet.directory, name, f"{name}.test", hub.front))

    @property
    def hub(self) -> FreshHost:
        """The service host."""
        return next(iter(self.fleet.hosts.values()))

    def scaffold(self, hosts: list[str], workspaces: list[dict[str, Any]]) -> None:
        """Make the project from the template, for these hosts; an earlier one goes with its key."""
        if self.project.path.exists():
            shutil.rmtree(self.project.path)
        (self.project.directory / "known_hosts").unlink(missing_ok=True)
        self.project.forget_key()
        self.project.scaffold()
        # Names lead to the service host; a person's would by DNS.
        reach = [f"-oHostName={self.hub.front}", f"-oHostKeyAlias={FORGE}.{self.project.domain}"]
        self.project.git(
            "config", "core.sshCommand", shlex.join(["ssh", *self.project.ssh_options, *reach])
        )
        self.change(
            hosts=[self.fleet.hosts[name].settings for name in hosts], workspaces=workspaces
        )
        self.project.commit("The fleet's project")

    @property
    def settings(self) -> dict[str, Any]:
        """platform.yml."""
        text = (self.project.path / "platform.yml").read_text(encoding="utf-8")
        settings: dict[str, Any] = yaml.safe_load(text)
        return settings

    def change(self, **sections: Any) -> None:
        """Write sections of platform.yml."""
        text = yaml.safe_dump({**self.settings, **sections}, sort_keys=False)
        (self.project.path / "platform.yml").write_text(text, encoding="utf-8")

    def seed(self, more: Sequence[str] = ()) -> None:
        """Give the service host the images that it would build, and `more`; see seed.py."""
        seed(self.hub.volume, self.rendered(), more)

    def rendered(self) -> Path:
        """Render the service host's tree; where it is."""
        trees = self.fleet.directory / "trees"
        if trees.exists():
            shutil.rmtree(trees)
        run("infrastructure/bootstrap", cwd=self.project.path)
        self.dap("render", "--out", str(trees)).check_returncode()
        return trees / self.hub.name

    def dap(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dap` in the project; its status is the caller's."""
        program = str(self.project.path / ".venv" / "bin" / "dap")
        return tried(self.project.path, program, *arguments, COLUMNS="200")

    def forge(self, *words: str) -> str:
        """Say something to the forge over SSH; what it answered."""
        command = shlex.split(self.project.git("config", "core.sshCommand"))
        port = str(self.project.ssh_port)
        return run(*command, "-p", port, f"git@{FORGE}.{self.project.domain}", *words)

    def deploy(self) -> dict[str, Any]:
        """Run `make deploy`; what it says as JSON, whether it failed or not."""
        done = self.dap("deploy", "--json")
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{done.returncode}\n{done.stdout}\n{done.stderr}") from None
        return {**found, "status": done.returncode, "said": done.stderr}

    @cached_property
    def credentials(self) -> dict[str, Any]:
        """What `make credentials` shows the first user."""
        found: dict[str, Any] = self.project.make_json("credentials", f"USER={ADMIN}")
        return found

    @cached_property
    def ca(self) -> Path:
        """File with the platform's CA."""
        path = self.fleet.directory / "ca.pem"
        path.write_text(self.dap("credentials", "--ca").stdout, encoding="utf-8")
        return path

    @cached_property
    def admin(self) -> Access:
        """Requests as the first user."""
        return self._access(ADMIN, str(self.credentials["password"]))

    @cached_property
    def anonymous(self) -> Access:
        """Requests as nobody."""
        return self._access("", "")

    def _access(self, user: str, password: str) -> Access:
        session = requests.Session()
        session.mount("https://", Named(self.hub.front))
        session.trust_env = False  # no proxy and no .netrc of this machine
        return Access(self.project.domain, user, password, session, self.ca)

    @property
    def plan(self) -> dict[str, Any]:
        """`plan.json` of the service host."""
        plan: dict[str, Any] = json.loads(self.hub.execute("cat", f"{self.tree}/plan.json"))
        return plan

    @property
    def tree(self) -> str:
        """The platform's folder on every host."""
        return f"/srv/dap/{self.project.name}"

    def started(self, host: FreshHost) -> dict[str, str]:
        """When which of the platform's containers on a host was started, by service."""
        return self._containers(host, "{{.Id}} {{.State.StartedAt}}")

    def states(self, host: FreshHost) -> dict[str, str]:
        """Status and health of the platform's containers on a host, by service."""
        return self._containers(host, "{{.State.Status}} {{.State.Health.Status}}")

    def _containers(self, host: FreshHost, form: str) -> dict[str, str]:
        form = '{{index .Config.Labels "com.docker.compose.service"}} ' + form
        label = f"label=com.docker.compose.project={self.project.name}"
        script = f"docker ps -aq --filter {label} | xargs -r docker inspect --format '{form}'"
        lines = host.execute("sh", "-c", script).splitlines()
        return {service: rest for service, _, rest in (line.partition(" ") for line in lines)}
