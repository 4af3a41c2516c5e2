"""A whole deploy with forge gitlab: from nothing, over what is there, and after faults.

All is real but GitLab and its runner, for which containers stand: tests/gitlab/standin.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from demo.access import await_result
from tests.gitlab.conftest import RUNNER, Mended, clone
from tests.gitlab.recorded import kinds, listed
from tests.gitlab.team import BOOT_S, DIE_ONCE, OTHER, Team, admin

SERVICES = {"gitlab", "gitlab-runner"}


def config_of_runner(team: Team) -> dict[str, str]:
    """Runner → token in the configuration that the container has."""
    text = team.execute("gitlab-runner", "cat", "/etc/gitlab-runner/config.toml")
    return {runner["name"]: runner["token"] for runner in tomllib.loads(text)["runners"]}


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
    assert config_of_runner(team) == {name: row["token"] for name, row in names.items()}

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
        if over == "https":
            mine.git("fetch", "--quiet", "origin", "main")
            mine.git("reset", "--quiet", "--hard", "FETCH_HEAD")
        pushed = mine.commit(f"{over}.txt", "one\n")
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


def test_who_is_taken_out_is_blocked_and_their_keys_open_nothing(
    team: Team, mended: Mended, tmp_path: Path
) -> None:
    account = team.user(OTHER)
    assert account == {**mended.user, "state": "blocked"}
    mine = clone(team, OTHER, tmp_path / "mine")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        mine.git("fetch", "origin")
    assert "Permission denied" in refused.value.stderr


def test_a_new_token_of_the_platform_takes_the_place_of_the_old_one(
    team: Team, mended: Mended
) -> None:
    tokens = {value: row["revoked"] for value, row in team.state["tokens"].items()}
    assert tokens == {mended.token: True, mended.new: False}
    assert team.api("GET", "/version").ok


def test_a_runner_whose_token_went_bad_gets_another(team: Team, mended: Mended) -> None:
    runner = team.runners()[f"{team.project.name}/{RUNNER}"]
    assert runner["token"] != mended.runner
    assert config_of_runner(team)[RUNNER] == runner["token"]
    assert team.secret(f"gitlab-runner/token-{RUNNER}") == runner["token"]


def test_a_runner_of_a_host_that_is_gone_is_removed(team: Team, mended: Mended) -> None:
    assert mended.deploy["changed"] > 0
    assert f"{team.project.name}/gone" not in team.runners()
    assert "somebody's own" in team.runners()


def test_the_deploy_after_that_changes_nothing(team: Team, mended: Mended) -> None:
    assert mended.deploy["changed"] > 0
    before = team.started()
    assert team.deploy()["changed"] == 0
    assert team.started() == before


def test_gitlab_may_die_in_the_middle(team: Team, mended: Mended) -> None:
    """After it made a runner and before it told the runner's token."""
    assert mended.deploy["changed"] > 0
    before = team.runners()
    gone = before[f"{team.project.name}/{RUNNER}"]
    assert team.api("DELETE", f"/runners/{gone['id']}").ok
    team.execute("gitlab", "sh", "-c", f"echo 'POST /api/v4/user/runners' >{DIE_ONCE}")
    container = team.containers()["gitlab"]
    team.project.make_json("deploy")
    container.reload()
    assert container.attrs["RestartCount"] == 1
    team.deploy()
    assert team.deploy()["changed"] == 0
    after = team.runners()
    assert after.keys() == before.keys()
    assert after[f"{team.project.name}/{RUNNER}"]["id"] != gone["id"]
    tokens = {row["token"] for name, row in after.items() if name.startswith(team.project.name)}
    assert tokens == set(config_of_runner(team).values())


def test_requests_are_of_the_kinds_that_are_listed(team: Team, mended: Mended) -> None:
    assert mended.deploy["changed"] > 0
    ours = [line for line in team.recorded if "/jobs/" not in line]
    new = [line for kind, line in kinds(ours).items() if kind not in listed()]
    assert not new, "\n".join(new)
    assert any(line.startswith("POST /api/v4/user/runners") for line in ours)


def test_the_state_outlives_the_container(team: Team) -> None:
    before = team.state
    subprocess.run(
        ["docker", "compose", "up", "--detach", "--force-recreate", "--no-deps", "gitlab"],
        cwd=f"/srv/dap/{team.project.name}",
        check=True,
        capture_output=True,
        env=dict(os.environ),
    )
    await_result("GitLab", lambda: team.api("GET", "/version").ok or None, 60, 0.2)
    after = team.state
    assert {name: after[name] for name in ("users", "projects", "runners")} == {
        name: before[name] for name in ("users", "projects", "runners")
    }
