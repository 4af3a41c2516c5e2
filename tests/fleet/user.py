"""A user's own machine: OpenSSH with the files of `make ssh-config`, and a clone of the project."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.access import await_result
from demo.flow import ASKED, PIPELINE_ENDS
from demo.project import ADMIN, REPOSITORY, Project
from tests.fleet.platform import FORGE, FleetPlatform
from tests.programs import author, printed

WAIT_S = 240


@dataclass(frozen=True)
class Client:
    """OpenSSH of a user.

    Attributes:
        config: its configuration.
    """

    config: Path

    def said(self, *arguments: str) -> str:
        """Run ssh to its end; what was printed.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            ["ssh", "-F", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def client(project: Project, plan: dict[str, Any], address: str, folder: Path) -> Client:
    """Make the files of the first user, as the operator does, and put them to use with its key.

    Args:
        project: of the platform.
        plan: its plan.json.
        address: where its names lead, as a person's DNS would have it.
        folder: an empty one, for the files.
    """
    project.make("ssh-config", f"USER={ADMIN}", f"FOLDER={folder}")
    conf = folder / f"{project.name}.conf"
    # A person's own folder, which ssh looks up by account: not that of who runs the tests.
    conf.write_text(conf.read_text().replace("~/.ssh/dap", str(folder)))
    blocks = conf.read_text().split("\n\n")
    names = [
        word
        for block in blocks
        if "HostName" not in block
        for word in block.split("\n")[0].split()[1:]
        if word.endswith(f".{project.domain}")
    ]
    ports = {stream["hostname"]: stream["listen"] for stream in plan["streams"]}
    dns = "".join(
        f"Host {name}\n  HostName {address}\n  HostKeyAlias [{name}]:{ports[name]}\n"
        for name in names
        if name in ports
    )
    config = folder / "config"
    config.write_text(
        f"{dns}Host *\n  IdentityFile {project.key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  ConnectTimeout 10\nInclude {conf}\n"
    )
    return Client(config)


class Clone:
    """A repository of its own whose pipelines are pushed to a branch.

    Args:
        platform: that it is pushed to.
        path: an empty folder; its name is the branch's.
    """

    def __init__(self, platform: FleetPlatform, path: Path) -> None:
        self.platform, self.path = platform, path
        self.git("init", "--quiet", "--initial-branch", path.name)
        command = platform.project.git("config", "core.sshCommand").strip()
        self.git("config", "core.sshCommand", command)

    def git(self, *arguments: str) -> str:
        """Run git; what it printed."""
        return printed(self.path, "git", *arguments, **author(self.platform.project.domain))

    def push(self, jobs: dict[str, Any]) -> int:
        """Push a pipeline; its number."""
        (self.path / ".gitlab-ci.yml").write_text(yaml.safe_dump(jobs, sort_keys=False))
        self.git("add", ".gitlab-ci.yml")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A test")
        project = self.platform.project
        remote = f"ssh://git@{FORGE}.{project.domain}:{project.ssh_port}/{REPOSITORY}"
        answer = self.git("push", remote, f"HEAD:{self.path.name}")
        asked = ASKED.search(answer)
        assert asked, answer
        return int(asked[1])

    def look(self, number: int) -> dict[str, Any]:
        """What is known of a pipeline now."""
        answer = self.platform.admin.pipeline(REPOSITORY, number)
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found

    def until(self, number: int, states: set[str], timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait for a pipeline to be in one of these states; what is known of it then."""

        def there() -> dict[str, Any] | None:
            found = self.look(number)
            return found if found.get("status") in states else None

        return await_result(f"pipeline {number} in {states}", there, timeout_s)

    def ended(self, number: int, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait for the end of a pipeline; what is known of it then, with jobs by their names."""
        found = self.until(number, PIPELINE_ENDS, timeout_s)
        return {**found, "jobs": {job["name"]: job for job in found["jobs"]}}

    def log(self, number: int, job: dict[str, Any]) -> str:
        """The log of a job."""
        return self.platform.admin.pipeline(REPOSITORY, number, job["log"]).text
