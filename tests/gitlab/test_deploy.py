"""A whole deploy with forge gitlab: from nothing, over what is there, and after faults.

All is real but GitLab and its runner, for which containers stand: tests/gitlab/standin.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from demo.access import await_result
from tests.gitlab.conftest import clone
from tests.gitlab.team import BOOT_S, OTHER, Team, admin

SERVICES = {"gitlab", "gitlab-runner"}


def test_the_first_deploy_waits_for_gitlab_and_makes_all(team: Team) -> None:
    assert team.first["seconds"] > BOOT_S
    assert team.containers().keys() >= SERVICES
    assert not {"git", "git-web", "pipelines"} & team.containers().keys()
    logs = team.containers()["gitlab"].logs().decode()
    assert "Running Post Reconfigure Script..." in logs
    assert "failed" not in logs
    assert {admin(), OTHER} <= {row["username"] for row in team.state["users"].values()}
    assert {row["path_with_namespace"] for row in team.state["projects"].values()} == {
        f"{team.project.name}/analysis"
    }


def test_the_runner_has_its_tokens_after_one_deploy(team: Team) -> None:
    names = {
        name.removeprefix(f"{team.project.name}/"): row for name, row in team.runners().items()
    }
    assert team.tokens_of_runner() == {name: row["token"] for name, row in names.items()}

    def online() -> bool | None:
        return {row["status"] for row in team.runners().values()} == {"online"} or None

    await_result("the runner", online, 30)


def test_gitlab_has_what_its_compose_file_gives_and_no_more(team: Team) -> None:
    host = team.containers()["gitlab"].attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert sorted(name.removeprefix("CAP_") for name in host["CapAdd"]) == [
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL"),
        *("NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_CHROOT"),
    ]
    runner = team.containers()["gitlab-runner"].attrs["HostConfig"]
    assert (runner["CapAdd"], runner["ReadonlyRootfs"]) == (None, True)


def test_a_second_deploy_changes_and_restarts_nothing(team: Team) -> None:
    before = team.started()
    assert team.deploy()["changed"] == 0
    assert team.started() == before


@pytest.mark.parametrize("over", ["ssh", "https"])
def test_members_push_to_main_and_nobody_rewrites_it(team: Team, tmp_path: Path, over: str) -> None:
    mine = clone(team, OTHER, tmp_path / "mine", over=over)
    if over == "https":
        netrc = tmp_path / ".netrc"
        netrc.touch(mode=0o600)
        password = team.secret(f"users/{OTHER}/password")
        netrc.write_text(f"machine git.{team.project.domain} login {OTHER} password {password}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        mine.follow()
        pushed = mine.commit(f"{over}.txt", uuid4().hex)
        mine.git("push", "--quiet", "origin", "HEAD:main")
        mine.git("commit", "--quiet", "--amend", "--message", "Another history")
        with pytest.raises(subprocess.CalledProcessError) as refused:
            mine.git("push", "--force", "origin", "HEAD:main")
        assert "not allowed to force push" in refused.value.stderr
        with pytest.raises(subprocess.CalledProcessError) as refused:
            mine.git("push", "origin", ":main")
        assert "delete protected branches" in refused.value.stderr
        mine.git("fetch", "--quiet", "origin", "main")
    assert mine.git("rev-parse", "FETCH_HEAD").strip() == pushed
    (project,) = team.state["projects"].values()
    assert (project["default_branch"], project["empty_repo"]) == ("main", False)


def test_strangers_can_not_read(team: Team, tmp_path: Path) -> None:
    mine = clone(team, "stranger", tmp_path / "mine")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        mine.git("fetch", "origin")
    assert "Permission denied" in refused.value.stderr


def test_verify_passes(team: Team) -> None:
    found = team.project.make_json("verify")
    failed = [each for each in found["tests"] if each["outcome"] == "failed"]
    assert found["ok"], failed
