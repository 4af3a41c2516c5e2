"""What a deploy does after people and faults had their way: the tests come in this order."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from demo.access import await_result
from tests.gitlab.conftest import RUNNER, Mended, clone
from tests.gitlab.recorded import AGAIN, kinds, listed
from tests.gitlab.team import DIE_ONCE, OTHER, Team


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
    assert team.tokens_of_runner()[RUNNER] == runner["token"]
    assert team.secret(f"gitlab-runner/token-{RUNNER}") == runner["token"]


def test_a_runner_of_a_host_that_is_gone_is_removed(team: Team, mended: Mended) -> None:
    assert mended.deploy["changed"] > 0
    assert f"{team.project.name}/gone" not in team.runners()
    assert "somebody's own" in team.runners()


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
    assert tokens == set(team.tokens_of_runner().values())


def test_requests_are_of_the_kinds_that_are_listed(team: Team, mended: Mended) -> None:
    assert mended.deploy["changed"] > 0
    found = kinds(team.recorded)
    known = listed() | listed(AGAIN)
    new = [line for kind, line in found.items() if kind not in known]
    assert not new, "\n".join(new)
    assert any(line.startswith("POST /api/v4/user/runners") for line in found.values())


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
