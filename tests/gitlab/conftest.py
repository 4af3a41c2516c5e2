"""A platform with forge gitlab, deployed once; tests here take it further, in their order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from demo.access import Clock
from demo.project import run
from tests.gitlab.team import OTHER, Team, admin
from tests.programs import tried

KEEP = os.environ.get("DAP_KEEP") == "1"
RUNNER = "local"


@pytest.fixture(scope="session")
def team(pytestconfig: pytest.Config) -> Iterator[Team]:
    """The platform after its first `make deploy`; removed at the end.

    With DAP_KEEP=1 it is kept, and the next run deploys over it.
    """
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    clock = Clock()
    with capture.global_and_fixture_disabled():
        print()
        clock.say("gitlab: images of the stand-ins, a project from the template")
        made = Team.scaffold()
        first = made.project.directory / "first.json"
        try:
            clock.say("gitlab: make deploy")
            begun = clock.seconds
            done = made.deploy()
            if not (KEEP and first.exists()):
                first.write_text(json.dumps({**done, "seconds": clock.seconds - begun}))
            made.first = json.loads(first.read_text())
            clock.say(f"gitlab: {made.first['changed']} changes")
            yield made
        finally:
            if not KEEP:
                first.unlink(missing_ok=True)
                made.project.make("destroy", f"DELETE_DATA={made.project.name}")


@dataclass(frozen=True)
class Mended:
    """What was wrong before a deploy, and what the deploy said.

    Attributes:
        deploy: what it said.
        token: the platform's token that somebody replaced.
        new: what by.
        runner: token of the runner that GitLab takes no more.
        user: the account that is no more in the settings.
    """

    deploy: dict[str, Any]
    token: str
    new: str
    runner: str
    user: dict[str, Any]


@pytest.fixture(scope="session")
def mended(team: Team) -> Mended:
    """One deploy after much went another way than the settings say.

    A user is taken out of them, the platform's token has a new value, GitLab has given the runner
    another token that nobody kept, and has one of a host that is gone.
    """
    runner = team.runners()[f"{team.project.name}/{RUNNER}"]
    old, new = team.secret("gitlab/token"), uuid4().hex
    before = Mended({}, old, new, runner["token"], team.user(OTHER))
    assert team.api("POST", f"/runners/{runner['id']}/reset_authentication_token").ok
    gone = {"runner_type": "instance_type", "description": f"{team.project.name}/gone"}
    others = {"runner_type": "instance_type", "description": "somebody's own"}
    for each in (gone, others):
        assert team.api("POST", "/user/runners", json=each).ok
    settings = yaml.safe_load(team.settings.read_text())
    settings["users"] = [user for user in settings["users"] if user["name"] != OTHER]
    team.settings.write_text(yaml.safe_dump(settings, sort_keys=False))
    dap = str(team.project.path / ".venv/bin/dap")
    done = tried(team.project.path, dap, "secret", "gitlab/token", given=before.new)
    assert done.returncode == 0, done.stderr
    return replace(before, deploy=team.deploy())


@dataclass(frozen=True)
class Clone:
    """A clone of a project's repository.

    Attributes:
        place: where it is.
        remote: where it is pushed to.
        ssh: how ssh is called.
    """

    place: Path
    remote: str
    ssh: str

    def git(self, *words: str) -> str:
        """Run git; what it printed.

        Raises:
            subprocess.CalledProcessError: it failed; carries what it said.
        """
        environment = {"GIT_SSH_COMMAND": self.ssh, "GIT_TERMINAL_PROMPT": "0"}
        who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        return run("git", *who, *words, cwd=self.place, env=environment)

    def follow(self) -> None:
        """Begin where main is, if there is one."""
        if self.git("ls-remote", "--heads", "origin", "main"):
            self.git("fetch", "--quiet", "origin", "main")
            self.git("reset", "--quiet", "--hard", "FETCH_HEAD")

    def commit(self, name: str, text: str) -> str:
        """Commit a file; the commit's hash."""
        (self.place / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {name}")
        return self.git("rev-parse", "HEAD").strip()


def clone(team: Team, person: str, place: Path, *, over: str = "ssh") -> Clone:
    """Make an empty repository whose remote is the project `analysis`, as somebody with a key."""
    project = team.project
    key = project.key if person == admin() else project.directory / person
    words = ["ssh", *project.ssh_options[1:], f"-oIdentityFile={key}"]
    path = f"{project.name}/analysis.git"
    remote = f"ssh://git@git.{project.domain}:{project.ssh_port}/{path}"
    if over == "https":
        remote = f"https://git.{project.domain}/{path}"
    place.mkdir()
    made = Clone(place, remote, " ".join(words))
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("remote", "add", "origin", remote)
    return made
