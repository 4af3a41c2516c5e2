"""From forge lite to GitLab and back, on one platform: the tests come in this order, at the end.

All is real but GitLab, for which a container stands: it takes over HTTP and gives over SSH.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from demo.access import await_result
from demo.project import clean_environment
from tests.gitlab.conftest import Clone, clone
from tests.gitlab.team import Team, admin

# Another one each time, so that a platform that was kept can be taken over again.
PROJECT = f"history-{uuid4().hex[:6]}"
MOVED = "refs/dap/moved/"
DEPLOY_S = 300
REPOSITORIES = "/var/opt/gitlab/git-data/repositories"


def deploy_as(team: Team, forge: str) -> dict[str, Any]:
    """Deploy with this forge; what it said."""
    settings = yaml.safe_load(team.settings.read_text())
    # Images that stand for GitLab's are of no service with forge lite.
    kept = team.project.directory / "gitlab.json"
    if forge == "lite":
        kept.write_text(json.dumps({key: settings[key] for key in ("images", "options")}))
        settings |= {"images": {}, "options": {}}
    else:
        settings |= json.loads(kept.read_text())
    settings["forge"] = forge
    if all(project["name"] != PROJECT for project in settings["projects"]):
        settings["projects"].append({"name": PROJECT})
    team.settings.write_text(yaml.safe_dump(settings, sort_keys=False))
    return team.deploy()


def forget_host_key(team: Team) -> None:
    """Each forge has a host key of its own."""
    known = team.project.directory / "known_hosts"
    if known.exists():
        host = f"[git.{team.project.domain}]:{team.project.ssh_port}"
        subprocess.run(["ssh-keygen", "-q", "-R", host, "-f", str(known)], check=True)


@dataclass(frozen=True)
class Moved:
    """A repository with history that was pushed to forge lite, and the deploy that moved it."""

    mine: Clone
    refs: dict[str, str]
    deploy: dict[str, Any]


def refs_of(mine: Clone, remote: str) -> dict[str, str]:
    """Return the refs of a remote, but for where GitLab keeps what was moved."""
    lines = mine.git("ls-remote", "--refs", remote).splitlines()
    found = {ref: value for value, ref in (line.split("\t") for line in lines)}
    return {ref: value for ref, value in found.items() if not ref.startswith(MOVED)}


def told(deploy: dict[str, Any]) -> list[str]:
    """Return what a deploy said of the repository's history."""
    said = [each["change"] for each in deploy["changes"]]
    return [change for change in said if f"history of {PROJECT}" in change]


@pytest.fixture(scope="module")
def lite(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The platform with forge lite, and a repository with history there."""
    deploy_as(team, "lite")
    assert {"git", "pipelines"} <= team.containers().keys()
    forget_host_key(team)
    ours = clone(team, admin(), tmp_path_factory.mktemp("lite") / "clone")
    mine = replace(ours, remote=f"{ours.remote.rsplit('/', 2)[0]}/{PROJECT}")
    mine.git("remote", "set-url", "origin", mine.remote)
    for number in range(30):
        mine.commit("file", f"{number}\n")
    mine.git("push", "--quiet", "origin", "HEAD:main")
    mine.git("checkout", "--quiet", "-b", "topic")
    mine.commit("other", "x\n" * 100_000)
    mine.git("tag", "--annotate", "--message=first", "v1")
    mine.git("checkout", "--quiet", "main")
    mine.commit("file", "main goes on\n")
    mine.git("merge", "--quiet", "--no-edit", "topic")
    mine.git("tag", "light")
    mine.git("push", "--quiet", "origin", "main", "topic", "v1", "light")
    return mine


@pytest.fixture(scope="module")
def moved(team: Team, lite: Clone) -> Moved:
    """The same platform with GitLab, by one deploy."""
    before = refs_of(lite, lite.remote)
    deployed = deploy_as(team, "gitlab")
    there = f"{lite.remote.rsplit('/', 1)[0]}/{team.project.name}/{PROJECT}.git"
    # What analysts do, once: the host key is another's, and so is the address.
    forget_host_key(team)
    lite.git("remote", "set-url", "origin", there)
    return Moved(replace(lite, remote=there), before, deployed)


def test_all_branches_and_tags_are_in_gitlab_with_their_history(team: Team, moved: Moved) -> None:
    assert {"refs/heads/main", "refs/heads/topic", "refs/tags/v1", "refs/tags/light"} == {
        *moved.refs
    }
    assert refs_of(moved.mine, "origin") == moved.refs
    assert told(moved.deploy) == [f"gitlab: history of {PROJECT}: 4 refs"]
    moved.mine.git("fetch", "--quiet", "origin")
    assert moved.mine.git("rev-list", "--count", "origin/main").strip() == "33"
    row = next(r for r in team.state["projects"].values() if r["path"] == PROJECT)
    assert (row["default_branch"], row["empty_repo"]) == ("main", False)


def test_a_workspace_finds_it_at_the_old_address(team: Team, moved: Moved) -> None:
    """Its git knows where forge lite's addresses lead now; nobody typed anything."""
    old = f"ssh://git@git.{team.project.domain}:{team.project.ssh_port}/{PROJECT}"
    for address in (old, f"{old}.git", moved.mine.remote):
        said = team.execute("admin-python", "git", "ls-remote", address, "refs/heads/main")
        assert said.split()[0] == moved.refs["refs/heads/main"]


def test_the_next_deploy_overwrites_nothing_that_is_newer(team: Team, moved: Moved) -> None:
    """And moves nothing, and restarts nothing."""
    newer = moved.mine.commit("file", "pushed to GitLab\n")
    moved.mine.git("push", "--quiet", "origin", "HEAD:main", ":topic")
    before = team.started()
    assert team.deploy()["changes"] == []
    assert team.started() == before
    found = refs_of(moved.mine, "origin")
    assert found["refs/heads/main"] == newer
    assert "refs/heads/topic" not in found


@pytest.fixture
def slow_hook(team: Team) -> Iterator[Path]:
    """GitLab does not come to an end with pushes to the project."""
    path = f"{REPOSITORIES}/{team.project.name}/{PROJECT}.git/hooks/pre-receive"
    team.execute("gitlab", "cp", path, f"{path}.kept")
    script = "#!/bin/sh\\ntouch /tmp/begun\\nexec sleep 300\\n"
    team.execute("gitlab", "sh", "-c", f"printf '{script}' >{path}; rm -f /tmp/begun")
    yield Path("/tmp/begun")
    team.execute("gitlab", "mv", f"{path}.kept", path)


def left(team: Team, *words: str) -> str:
    """Run git on what forge lite left, as who owns it."""
    volume = f"{team.project.name}_forge-lite-repositories"
    plan = json.loads(Path(f"/srv/dap/{team.project.name}/plan.json").read_text())
    (content,) = (each["reference"] for each in plan["images"] if each["name"] == "content")
    output: bytes = team.docker.containers.run(
        content,
        ["git", "-C", f"/left/{PROJECT}.git", *words],
        entrypoint="",
        user="11006:11006",
        volumes={volume: {"bind": "/left", "mode": "rw"}},
        network_mode="none",
        labels={"dap.try": "takeover"},
        remove=True,
    )
    return output.decode()


def test_a_move_that_is_cut_off_goes_on_with_the_next_deploy(
    team: Team, moved: Moved, slow_hook: Path
) -> None:
    commit = left(team, "rev-parse", "refs/tags/v1^{commit}").strip()
    left(team, "update-ref", "refs/heads/late", commit)
    command = ["make", "--no-print-directory", "--silent", "deploy"]
    with subprocess.Popen(
        command,
        cwd=team.project.path,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        await_result("the push", lambda: _is_there(team, slow_hook), DEPLOY_S, 0.2)
        label = f"com.docker.compose.project={team.project.name}"
        (content,) = (
            each
            for each in team.docker.containers.list(filters={"label": label})
            if each.labels["com.docker.compose.service"] == "content"
        )
        content.kill()
        assert process.wait(DEPLOY_S) != 0
    # Else GitLab would take the push in the end, as if nobody had gone away.
    team.execute("gitlab", "pkill", "-f", "sleep 300")
    assert "refs/heads/late" not in refs_of(moved.mine, "origin")


def test_and_that_is_complete(team: Team, moved: Moved) -> None:
    assert told(team.deploy()) == [f"gitlab: history of {PROJECT}: 1 refs"]
    assert (
        refs_of(moved.mine, "origin")["refs/heads/late"]
        == moved.mine.git("rev-parse", "v1^{commit}").strip()
    )


def _is_there(team: Team, path: Path) -> bool | None:
    code, _ = team.containers()["gitlab"].exec_run(["test", "-e", str(path)])
    return code == 0 or None
