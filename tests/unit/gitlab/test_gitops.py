"""What the platform's own repository gets in GitLab, and more of it where `gitops` asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gitlab.forge import Forge, digest
from tests.unit.gitlab.conftest import DATA
from tests.unit.gitlab.test_content import runners, variables

HOST = {"name": "main", "address": "10.0.0.5", "roles": ["service", "runner"]}
ALL = {**DATA, "hosts": [HOST], "gitops": {"plan": True, "apply": True, "drift": "0 5 * * *"}}
DRIFT = {"active": True, "cron": "0 5 * * *", "cron_timezone": "UTC", "ref": "refs/heads/main"}


def pushed(forge: Forge) -> None:
    """Have the first project's repository a commit."""
    projects = forge.state["projects"]
    forge.change(projects={key: {**row, "empty_repo": False} for key, row in projects.items()})


def own(forge: Forge) -> dict[str, Any]:
    rows = forge.state["projects"].values()
    row: dict[str, Any] = next(r for r in rows if r["path"] == "analysis")
    return row


def protection(forge: Forge, project: str) -> set[int]:
    numbers = [r["id"] for r in forge.state["projects"].values() if r["path"] == project]
    row = forge.state["branches"][f"{numbers[0]}/main"]
    return {row[f"{kind}_access_levels"][0]["access_level"] for kind in ("push", "merge")}


def test_nothing_of_it_is_there_unless_it_is_asked_for(made: Forge) -> None:
    assert not [key for key in variables(made, "analysis") if "GITOPS" in key]
    assert made.state["schedules"] == {}
    assert protection(made, "analysis") == {30}
    assert not [name for name in runners(made) if name.endswith("-platform")]


def test_builds_of_environments_get_what_they_start_from(made: Forge) -> None:
    """And the right to commit the lock, in the platform's own repository alone."""
    given = variables(made, "analysis")["DAP_IMAGES"]
    assert (given["variable_type"], given["protected"]) == ("file", False)
    images = json.loads(given["value"])
    files = {file.path: file.content for file in made.tree(DATA).files}
    plan = json.loads(files["plan.json"])
    assert images["registry"] == "registry.lab.example.org"
    assert images["content"] == plan["base_images"]["content"]
    tag = plan["environments"]["python"].rpartition(":")[2]
    assert images["environments"]["python"] == {
        "content": plan["environment_contents"]["python"],
        "image": "registry.lab.example.org/environments/python@"
        + digest(f"/v2/environments/python/manifests/{tag}"),
    }
    allowed = {
        row["path"]: row["ci_push_repository_for_job_token_allowed"]
        for row in made.state["projects"].values()
    }
    assert allowed == {"analysis": True, "closed": False}
    assert "DAP_IMAGES" not in variables(made, "closed")


@pytest.mark.slow
def test_what_main_holds_is_deployed_by_a_runner_for_that_alone(made: Forge) -> None:
    pushed(made)
    ran = made.content(ALL)
    assert ran.status == 0, ran.output
    (runner,) = (row for name, row in runners(made).items() if name.endswith("-platform"))
    assert (runner["description"], runner["tag_list"]) == ("dap/main-platform", ["platform"])
    assert (runner["run_untagged"], runner["access_level"]) == (False, "ref_protected")
    # Else jobs of any project's main could ask for it.
    assert (runner["runner_type"], runner["locked"]) == ("project_type", True)
    assert runner["project_id"] == own(made)["id"]
    # Who may bring something to main is root on every host then.
    assert (protection(made, "analysis"), protection(made, "closed")) == ({40}, {30})
    found = variables(made, "analysis")
    assert found["DAP_GITOPS_PLAN"]["value"] == found["DAP_GITOPS_APPLY"]["value"] == "true"
    assert not [key for key in variables(made, "closed") if "GITOPS" in key]
    (schedule,) = made.state["schedules"].values()
    assert {key: schedule[key] for key in DRIFT} == DRIFT
    assert made.content(ALL).changes == []

    other = {**ALL, "gitops": {**ALL["gitops"], "drift": "30 6 * * 1"}}
    assert made.content(other).changes == ["gitlab: changed: schedule of analysis"]
    (schedule,) = made.state["schedules"].values()
    assert schedule["cron"] == "30 6 * * 1"

    assert made.content({**DATA, "hosts": [HOST]}).status == 0
    assert made.state["schedules"] == {}
    assert protection(made, "analysis") == {30}
    assert not [key for key in variables(made, "analysis") if "GITOPS" in key]
    assert not [name for name in runners(made) if name.endswith("-platform")]


@pytest.mark.slow
def test_a_schedule_waits_for_the_branch_that_it_is_for(made: Forge) -> None:
    ran = made.content(ALL)
    assert "gitlab: ok: schedule of analysis waits for the first push" in ran.lines
    assert made.state["schedules"] == {}
    pushed(made)
    assert made.content(ALL).changes == ["gitlab: changed: schedule of analysis"]


@pytest.mark.slow
def test_what_the_operator_put_there_stays_and_is_for_protected_branches(made: Forge) -> None:
    key = {
        **variables(made, "analysis")["DAP_PROJECT"],
        "key": "DAP_VAULT_KEY",
        "value": 64 * "e",
        "variable_type": "file",
        "description": "the vault's key",
    }
    number = own(made)["id"]
    made.change(variables={**made.state["variables"], f"{number}/DAP_VAULT_KEY": key})
    changed = "gitlab: changed: variable DAP_VAULT_KEY is for protected branches alone"
    assert made.content(DATA).changes == [changed]
    assert variables(made, "analysis")["DAP_VAULT_KEY"] == {**key, "protected": True}
    assert made.content(DATA).changes == []
