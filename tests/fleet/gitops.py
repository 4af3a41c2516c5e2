"""A platform on one host that its own repository deploys. GitLab is a stand-in, all else real."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from dap.catalogue import read_catalogue
from dap.plan import make_plan
from dap.settings import load

from demo.access import await_result
from demo.project import ADMIN, REPOSITORY, run
from tests.fleet.hosts import Fleet, FreshHost, Member
from tests.fleet.platform import FORGE, FleetPlatform, Named
from tests.fleet.seed import build
from tests.gitlab.conftest import Clone
from tests.gitlab.team import STATE, image

# Its own, so that it can be there beside the fleet of other tests.
NAME, NUMBER = "gitops", 37
HOST = Member(
    "hub", 10, settings={"roles": ["service", "runner"], "slots": 2}, memory="10g", by_agent=True
)
SPACE = {"environment": "python", "memory": "2g"}
DEVELOPER = "ada"
# What GitLab calls the first user; `admin` it keeps for itself.
MAINTAINER = f"{ADMIN}-{NAME}"
ENDS = {"success", "failed", "canceled", "skipped"}
START_S, JOB_S = 30, 900
GITOPS = {"plan": True, "apply": True, "drift": "0 5 * * *"}


class Own:
    """The platform, its forge, and the people who push there."""

    def __init__(self) -> None:
        self.platform = FleetPlatform.on(Fleet(NAME, NUMBER, (HOST,)))
        self.project = self.platform.project

    @property
    def hub(self) -> FreshHost:
        """The one host."""
        return self.platform.hub

    @property
    def repository(self) -> str:
        """The platform's repository, as GitLab names it."""
        return f"{self.project.name}/{REPOSITORY}"

    def scaffold(self) -> None:
        """Make the project, and the stand-ins' images, which its settings name."""
        self.platform.scaffold([HOST.name], [{**SPACE, "name": f"{ADMIN}-space", "owner": ADMIN}])
        # An analysis would run at the first push.
        self.project.git("rm", "-r", "--quiet", "src")
        path = f"ssh://git@{FORGE}.{self.project.domain}:{self.project.ssh_port}/{self.repository}"
        self.project.git("remote", "set-url", "origin", f"{path}.git")
        key = self.key(DEVELOPER).with_suffix(".pub").read_text().strip()
        mail = f"{DEVELOPER}@{self.project.domain}"
        ada = {"name": DEVELOPER, "email": mail, "ssh_keys": [key]}
        users = [*self.platform.settings["users"], ada]
        self.platform.change(forge="gitlab", gitops=GITOPS, users=users)
        build(self.platform.rendered())
        self.platform.change(
            images={"overrides": self.standins},
            options={"gitlab-runner": {"helper_image": self.standins["gitlab-runner"]}},
        )
        self.project.commit("A platform that deploys itself")

    @cached_property
    def standins(self) -> dict[str, str]:
        """Images that stand where GitLab's would be; made from the platform's own base."""
        path = self.project.path
        plan = make_plan(load(path / "platform.yml"), read_catalogue(path))
        base = plan.images.base.reference
        return {name: image(name, base) for name in ("gitlab", "gitlab-runner")}

    def key(self, name: str) -> Path:
        """A private SSH key of somebody's, or for something; made once."""
        file = self.project.directory / name
        if not file.exists():
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)]
            subprocess.run(make, check=True)
        return file

    @property
    def vault_key(self) -> str:
        """The vault's key, from the account of who deployed first."""
        (file,) = (Path.home() / ".config" / "dap").glob(f"{self.project.name}-*.key")
        return file.read_text()

    def clone(self, place: Path) -> Clone:
        """Clone main as the developer."""
        words = ["ssh", *self.project.ssh_options[1:], f"-oIdentityFile={self.key(DEVELOPER)}"]
        words += [f"-oHostName={self.hub.front}"]
        words += [f"-oHostKeyAlias={FORGE}.{self.project.domain}"]
        remote = self.project.git("remote", "get-url", "origin").strip()
        place.mkdir()
        made = Clone(place, remote, " ".join(words))
        made.git("init", "--quiet", "--initial-branch=main")
        made.git("remote", "add", "origin", remote)
        made.follow()
        return made

    @cached_property
    def session(self) -> requests.Session:
        """Reaches the platform's names at the host."""
        session = requests.Session()
        session.mount("https://", Named(self.hub.front))
        session.trust_env = False
        return session

    @cached_property
    def token(self) -> str:
        """Return the platform's own access token."""
        place = f"{self.platform.tree}/secrets/content/content/vault.json"
        found: dict[str, str] = json.loads(self.hub.execute("cat", place))
        return found["gitlab/token"]

    def api(self, method: str, path: str, **given: Any) -> requests.Response:
        """Ask GitLab's API as root."""
        return self.session.request(
            method,
            f"https://{FORGE}.{self.project.domain}/api/v4{path}",
            headers={"PRIVATE-TOKEN": self.token},
            verify=str(self.platform.ca),
            timeout=30,
            **given,
        )

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask for something of the platform's repository; the answer must be a good one."""
        answer = self.api(method, f"/projects/{self.repository.replace('/', '%2F')}{path}", **given)
        assert answer.ok, answer.text
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.content

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the stand-in knows."""
        label = f"label=com.docker.compose.project={self.project.name}"
        which = f"$(docker ps -q --filter {label} --filter {label_of('gitlab')})"
        text = self.hub.execute("sh", "-c", f"docker exec {which} cat {STATE}")
        found: dict[str, Any] = json.loads(text)
        return found

    def pipeline(self, **wanted: str) -> dict[str, Any]:
        """Wait for the pipeline that this fits to end; `jobs` are its jobs by their names."""

        def there() -> int | None:
            found: list[dict[str, Any]] = self.ask("GET", "/pipelines", params=wanted)
            return found[0]["id"] if found else None

        return self.ended(await_result(f"the pipeline {wanted}", there, START_S, 1))

    def ended(self, number: int) -> dict[str, Any]:
        """Wait for a pipeline to end; `jobs` are its jobs by their names."""

        def ended() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self.ask("GET", f"/pipelines/{number}")
            except requests.ConnectionError:
                return None  # a deploy makes the proxy anew
            return found if found["status"] in ENDS else None

        found = await_result(f"the pipeline {number}", ended, JOB_S, 1)
        return {**found, "jobs": self.jobs(found)}

    def jobs(self, pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """All that GitLab knows of a pipeline's jobs, by their names."""
        rows = self.state["jobs"].values()
        return {row["name"]: row for row in rows if row.get("pipeline") == pipeline["id"]}

    def audit(self) -> dict[str, Any]:
        """Return the newest line that says who did what on the host."""
        lines = self.hub.execute("cat", f"{self.platform.tree}/audit.log").splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def play(self) -> dict[str, Any]:
        """Start the schedule, as its time would; its pipeline at its end."""
        (schedule,) = self.ask("GET", "/pipeline_schedules")
        before = {row["id"] for row in self.ask("GET", "/pipelines")}
        self.ask("POST", f"/pipeline_schedules/{schedule['id']}/play")
        (new,) = (row for row in self.ask("GET", "/pipelines") if row["id"] not in before)
        return self.ended(new["id"])


def label_of(service: str) -> str:
    """Return docker's filter for the container of a service."""
    return f"label=com.docker.compose.service={service}"


@contextmanager
def agent(key: Path) -> Iterator[None]:
    """Have an SSH agent with a key, as an operator's machine does."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        socket = Path(folder, "agent")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            await_result("ssh-agent", lambda: socket.exists() or None, 10, 0.05)
            patch.setenv("SSH_AUTH_SOCK", str(socket))
            run("ssh-add", "-q", str(key))
            yield
        finally:
            process.terminate()
            process.wait()
