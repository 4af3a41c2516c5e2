"""Content of the forge for teams, run as a deploy runs it, against the stand-in."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dap.content.context import Context, Secrets
from dap.content.kept import Kept
from dap.content.plan import read_clients, read_plan, read_secrets
from dap.content.runner import run

from demo.access import await_result
from tests.gitlab.forge import Forge, registry
from tests.gitlab.recorded import LIST, kinds, listed
from tests.unit.engine.modules import load
from tests.unit.gitlab.conftest import DATA, KEYS

TOKEN = "gitlab-runner/token-local"


def users(forge: Forge) -> dict[str, dict[str, Any]]:
    return {row["username"]: row for row in forge.state["users"].values()}


def keys(forge: Forge, name: str) -> dict[str, str]:
    number = users(forge)[name]["id"]
    rows = forge.state["keys"].values()
    return {row["title"]: row["key"] for row in rows if row["user_id"] == number}


def members(forge: Forge, project: str) -> dict[str, int]:
    (number,) = (
        row["id"]
        for row in forge.state["projects"].values()
        if row["path_with_namespace"] == f"dap/{project}"
    )
    names = {row["id"]: name for name, row in users(forge).items()}
    rows = forge.state["members"].values()
    return {names[r["user_id"]]: r["access_level"] for r in rows if r["of"] == number}


def variables(forge: Forge, project: str) -> dict[str, dict[str, Any]]:
    (number,) = (
        str(row["id"])
        for row in forge.state["projects"].values()
        if row["path_with_namespace"] == f"dap/{project}"
    )
    rows = forge.state["variables"].items()
    return {row["key"]: row for key, row in rows if key.startswith(f"{number}/")}


def runners(forge: Forge) -> dict[str, dict[str, Any]]:
    return {row["description"]: row for row in forge.state["runners"].values()}


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    left = copy.deepcopy(data)
    left["users"] = [user for user in left["users"] if user["name"] != name]
    for project in left["projects"]:
        project["members"] = [each for each in project.get("members", []) if each != name]
    return left


def test_the_first_run_makes_all_and_the_second_changes_nothing(forge: Forge) -> None:
    forge.start()
    first = forge.content(DATA)
    assert (first.status, first.summary["changed"]) == (0, len(first.changes)), first.output
    before = forge.state
    second = forge.content(DATA)
    assert (second.status, second.summary["changed"]) == (0, 0), second.output
    # To ask whether a token is good counts as a sign of life of its runner.
    alive = {"online": True, "status": "online"}
    before["runners"] = {key: {**row, **alive} for key, row in before["runners"].items()}
    assert forge.state == before
    for name, value in forge.vault.values.items():
        assert value not in first.output + forge.requests.read_text(), name


def test_a_dry_run_tells_what_would_be_and_does_nothing(forge: Forge) -> None:
    forge.start()
    before = forge.state
    ran = forge.content(DATA, "--check")
    assert ran.status == 0, ran.output
    assert "gitlab: would change: user ada" in ran.changes
    assert "gitlab: would change: runner dap/local" in ran.changes
    assert forge.state == before
    assert not (forge.kept / "kept.json").exists()


def test_people_have_what_the_settings_say(made: Forge) -> None:
    found = users(made)
    assert found["ada"]["name"] == "Ada L."
    assert {name for name, row in found.items() if row["is_admin"]} == {"root", "admin-dap"}
    mine = keys(made, "ada")
    assert list(mine) == ["platform: key 1", "platform: key 2", "platform: workspaces"]
    assert [f"{key} " in f"{KEYS[0]} {KEYS[1]}" for key in mine.values()] == [True, True, False]
    assert members(made, "analysis") == {"admin-dap": 40, "ada": 30, "grace": 30}
    assert members(made, "closed") == {"ada": 30}


def test_the_key_of_workspaces_is_the_public_half_of_the_secret(made: Forge) -> None:
    from dap.secrets.kinds import ssh_public_key

    wanted = ssh_public_key(made.vault.values["gitlab/user-ada"])
    assert keys(made, "ada")["platform: workspaces"] == wanted


def test_projects_are_protected(made: Forge) -> None:
    for row in made.state["projects"].values():
        assert (row["visibility"], row["public_jobs"]) == ("private", False)
        assert row["container_expiration_policy"]["enabled"] is True
    branches = list(made.state["branches"].values())
    assert len(branches) == 2
    for row in branches:
        assert (row["name"], row["allow_force_push"]) == ("main", False)
        assert row["push_access_levels"] == [{"access_level": 30}]


def test_credentials_are_protected_and_masked_where_that_can_be(made: Forge) -> None:
    found = variables(made, "closed")
    password = made.vault.values["projects/closed/password"]
    alone = found["DAP_PROJECT_PASSWORD"]
    assert (alone["value"], alone["protected"], alone["masked"]) == (password, True, True)
    netrc = found["NETRC"]
    assert password in netrc["value"]
    assert (netrc["variable_type"], netrc["protected"]) == ("file", True)
    # The password is in it in base64.
    assert found["REGISTRY_AUTH_FILE"]["protected"] is True
    assert (found["DAP_PROJECT"]["value"], found["DAP_PROJECT"]["protected"]) == ("closed", False)
    assert found["MLFLOW_TRACKING_URI"]["protected"] is False
    everywhere = made.state["variables"]["instance/DAP_ENVIRONMENT_PYTHON"]
    image = r"registry\.lab\.example\.org/environments/python@sha256:[0-9a-f]{64}"
    assert re.fullmatch(image, everywhere["value"])
    for row in found.values():
        secrets = [v for name, v in made.vault.values.items() if "certificate" not in name]
        if any(secret in row["value"] for secret in secrets):
            assert row["protected"], row["key"]
        assert row["raw"]


def test_credentials_reach_all_branches_where_the_settings_say_so(made: Forge) -> None:
    ran = made.content({**DATA, "options": {"gitlab": {"variables": "all"}}})
    assert ran.status == 0, ran.output
    assert not any(row["protected"] for row in variables(made, "closed").values())
    assert variables(made, "closed")["DAP_PROJECT_PASSWORD"]["masked"] is True


def test_variables_of_others_stay_and_the_platforms_go_when_nobody_wants_them(made: Forge) -> None:
    state = made.state["variables"]
    (prefix,) = {key.split("/")[0] for key, row in state.items() if row["value"] == "closed"}
    own = {"key": "OWN", "value": "x", "description": None, "masked": False}
    old = {"key": "OLD", "value": "x", "description": "Made by the platform", "masked": False}
    made.change(variables={**state, f"{prefix}/OWN": own, f"{prefix}/OLD": old})
    ran = made.content(DATA)
    assert ran.changes == ["gitlab: changed: variables of project closed"]
    assert made.state["variables"] == {**state, f"{prefix}/OWN": own}


def test_images_that_are_still_pushed_are_waited_for(made: Forge) -> None:
    absent, asked = registry().absent, registry().asked
    absent.add("environments/python")
    try:
        dry = made.content(DATA, "--check")
        assert dry.changes[0] == "gitlab: would change: variables of all projects"
        process = made.begin(DATA)
        before = len(asked)
        await_result("who waits", lambda: len(asked) > before + 3 or None, 30)
        assert process.poll() is None
    finally:
        absent.clear()
    assert made.end(process).summary["changed"] == 0


def test_sign_up_is_off_and_projects_are_private(made: Forge) -> None:
    found = made.state["settings"]
    assert found["signup_enabled"] is False
    assert found["allow_runner_registration_token"] is False
    assert found["restricted_visibility_levels"] == ["public"]


def test_who_is_taken_out_is_blocked_and_comes_back_as_before(made: Forge) -> None:
    before = users(made)["ada"]
    ran = made.content(without(DATA, "ada"))
    assert ran.status == 0, ran.output
    assert "gitlab: changed: user ada may no longer log in" in ran.changes
    assert users(made)["ada"] == {**before, "state": "blocked"}
    assert users(made)["root"]["state"] == "active"
    # Nothing of theirs is deleted, and a second run has nothing to do.
    assert len(keys(made, "ada")) == 3
    assert made.content(without(DATA, "ada")).summary["changed"] == 0
    assert "gitlab: changed: user ada" in made.content(DATA).changes
    assert users(made)["ada"] == before


def test_who_is_no_member_any_more_is_taken_out(made: Forge) -> None:
    data = copy.deepcopy(DATA)
    data["projects"][0]["members"] = ["admin", "grace"]
    ran = made.content(data)
    assert ran.changes == ["gitlab: changed: members of analysis"]
    assert members(made, "analysis") == {"admin-dap": 40, "grace": 30}


def test_what_people_are_called_follows_the_settings(made: Forge) -> None:
    data = copy.deepcopy(DATA)
    data["users"][1] |= {"full_name": "Ada Lovelace", "email": "ada.l@example.org", "admin": True}
    assert made.content(data).status == 0
    found = users(made)["ada"]
    changed = (found["name"], found["email"], found["is_admin"])
    assert changed == ("Ada Lovelace", "ada.l@example.org", True)
    assert members(made, "closed") == {"ada": 40}


def test_a_key_that_is_taken_out_goes_and_one_that_its_owner_added_stays(made: Forge) -> None:
    number = users(made)["ada"]["id"]
    own = {"id": 999, "user_id": number, "title": "own", "key": "ssh-ed25519 " + 60 * "c"}
    made.change(keys={**made.state["keys"], "999": own})
    data = copy.deepcopy(DATA)
    data["users"][1]["ssh_keys"] = KEYS[:1]
    ran = made.content(data)
    assert ran.changes == ["gitlab: changed: SSH keys of ada"]
    assert set(keys(made, "ada")) == {"platform: key 1", "platform: workspaces", "own"}


def test_a_key_may_change_hands_and_come_back(made: Forge) -> None:
    data = copy.deepcopy(DATA)
    data["users"][1]["ssh_keys"] = KEYS[:1]
    data["users"][2]["ssh_keys"] = KEYS[1:]
    ran = made.content(data)
    assert ran.status == 0, ran.output
    assert KEYS[1].startswith(keys(made, "grace")["platform: key 1"])
    # Now who gets it comes before who has it.
    ran = made.content(DATA)
    assert ran.status == 0, ran.output
    assert len(keys(made, "ada")) == 3


def test_runners_are_what_hosts_ask_for(made: Forge) -> None:
    found = runners(made)
    assert set(found) == {"dap/local", "dap/local-image-builder"}
    assert (found["dap/local"]["run_untagged"], found["dap/local"]["tag_list"]) == (True, ["local"])
    builder = found["dap/local-image-builder"]
    assert (builder["run_untagged"], builder["tag_list"]) == (False, ["image-builder"])
    assert builder["access_level"] == "ref_protected"
    for name in ("", "builder-"):
        token = made.vault.values[f"gitlab-runner/{name}token-local"]
        assert token in {row["token"] for row in found.values()}


def test_the_configuration_of_runners_has_their_tokens_once_they_are_there(made: Forge) -> None:
    path = "secrets/gitlab-runner/gitlab-runner/config.toml"
    (config,) = (file.content.decode() for file in made.tree(DATA).files if file.path == path)
    assert config.count("[[runners]]") == 2
    assert made.vault.values[TOKEN] in config
    tokens = {name: value for name, value in made.vault.values.items() if "token-local" in name}
    for name in tokens:
        del made.vault.values[name]
    (config,) = (file.content.decode() for file in made.tree(DATA).files if file.path == path)
    assert "[[runners]]" not in config


def test_a_cluster_gets_a_runner_and_takes_it_along(made: Forge) -> None:
    gpu = {"name": "gpu", "context": "lab", "labels": ["a100"]}
    beside = {**DATA, "address": "10.0.0.5", "clusters": [gpu]}
    ran = made.content(beside)
    assert ran.changes == ["gitlab: changed: runner dap/gpu"]
    row = runners(made)["dap/gpu"]
    assert (row["run_untagged"], row["tag_list"]) == (False, ["a100", "gpu"])
    assert row["token"] == made.vault.values["gitlab-runner/token-gpu"]
    assert "dap/gpu-image-builder" not in runners(made)
    assert made.content(beside).changes == []
    (change,) = made.content(DATA).changes
    assert change.startswith("gitlab: changed: runner dap/gpu (")
    assert "dap/gpu" not in runners(made)


def test_pipelines_are_told_where_no_host_could_build_environments(made: Forge) -> None:
    builder, told = "instance/DAP_ENVIRONMENT_IMAGE_BUILDER", "DAP_ENVIRONMENTS_BY_DEPLOY"
    assert builder in made.state["variables"]
    assert told not in variables(made, "analysis")
    idle = {"name": "local", "address": "localhost", "slots": 0}
    far = {**DATA, "address": "10.0.0.5", "hosts": [idle]}
    ran = made.content({**far, "clusters": [{"name": "far", "context": "far"}]})
    assert ran.status == 0, ran.output
    assert builder not in made.state["variables"]
    assert variables(made, "analysis")[told]["value"] == "true"
    assert told not in variables(made, "closed")
    assert made.content(DATA).status == 0
    assert builder in made.state["variables"]
    assert told not in variables(made, "analysis")


def test_a_platform_in_a_cluster_names_images_as_its_nodes_find_them(made: Forge) -> None:
    cluster: dict[str, Any] = {"context": "here"}
    place: dict[str, Any] = {**DATA, "target": "kubernetes", "cluster": cluster}

    def image() -> str:
        assert made.content(place).status == 0
        value: str = made.state["variables"]["instance/DAP_ENVIRONMENT_PYTHON"]["value"]
        return value

    there = image()
    assert there.startswith("dap/environment-python:")
    cluster["registry"] = {"address": "images.example.org/lab"}
    assert image() == f"images.example.org/lab/{there}"
    assert set(runners(made)) == {"dap/jobs"}


def test_a_token_that_went_bad_is_replaced_and_the_runner_stays(made: Forge) -> None:
    before = runners(made)["dap/local"]
    made.change(runners={**made.state["runners"], str(before["id"]): {**before, "token": "other"}})
    ran = made.content(DATA)
    assert ran.changes == ["gitlab: changed: token of runner dap/local"]
    after = runners(made)["dap/local"]
    assert after["id"] == before["id"]
    assert after["token"] == made.vault.values[TOKEN] not in ("other", before["token"])
    assert made.content(DATA).summary["changed"] == 0


def test_a_runner_that_somebody_deleted_is_made_anew(made: Forge) -> None:
    before = runners(made)["dap/local"]
    made.change(runners={k: v for k, v in made.state["runners"].items() if k != str(before["id"])})
    assert made.content(DATA).changes == ["gitlab: changed: runner dap/local"]
    assert runners(made)["dap/local"]["token"] == made.vault.values[TOKEN] != before["token"]


def test_a_runner_whose_host_is_gone_is_removed_and_one_of_others_stays(made: Forge) -> None:
    before = runners(made)["dap/local"]
    gone = {**before, "id": 900, "description": "dap/old", "token": "x"}
    others = {**before, "id": 901, "description": "somebody's", "token": "y"}
    made.change(runners={**made.state["runners"], "900": gone, "901": others})
    ran = made.content(DATA)
    assert ran.changes == ["gitlab: changed: runner dap/old (900) is removed"]
    assert set(runners(made)) == {"dap/local", "dap/local-image-builder", "somebody's"}


def test_what_is_wrong_about_a_runner_is_mended(made: Forge) -> None:
    before = runners(made)["dap/local"]
    made.change(runners={**made.state["runners"], str(before["id"]): {**before, "paused": True}})
    assert made.content(DATA).changes == ["gitlab: changed: runner dap/local"]
    assert runners(made)["dap/local"] == {**before, "online": True, "status": "online"}


@pytest.mark.parametrize(("days", "changed"), [(20, 1), (40, 0)])
def test_the_platforms_token_is_renewed_before_it_ends(
    made: Forge, days: int, changed: int
) -> None:
    old = made.vault.values["gitlab/token"]
    soon = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
    tokens = made.state["tokens"]
    made.change(tokens={old: {**tokens[old], "expires_at": soon}})
    ran = made.content(DATA)
    assert (ran.status, ran.summary["changed"]) == (0, changed), ran.output
    assert (made.vault.values["gitlab/token"] != old) == bool(changed)
    assert made.state["tokens"][old]["revoked"] == bool(changed)
    assert made.content(DATA).summary["changed"] == 0


@pytest.mark.slow
def test_gitlab_may_take_its_time(forge: Forge) -> None:
    """Nothing listens at first, then its proxy answers 502 for a while."""
    process = forge.begin(DATA)
    forge.start("--starting", "12", wait=False)
    ran = forge.end(process)
    assert ran.status == 0, ran.output
    assert "gitlab: changed: user ada" in ran.changes


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        "PUT /api/v4/application/settings",
        "POST /api/v4/users",
        r"POST /api/v4/users/\d+/keys",
        "POST /api/v4/groups",
        "POST /api/v4/projects",
        r"POST /api/v4/projects/\d+/protected_branches",
        r"POST /api/v4/projects/\d+/variables",
        "POST /api/v4/user/runners",
    ],
)
def test_gitlab_may_restart_in_the_middle(forge: Forge, at: str) -> None:
    """A change that was made and never answered for is found, not made twice."""
    dying = forge.start("--die-after", at)
    process = forge.begin(DATA)
    assert dying.wait(60) == 137
    forge.start()
    ran = forge.end(process)
    if ran.status:
        # What was asked for twice is refused, and the next deploy goes on from there.
        assert "been taken" in ran.output or "already exists" in ran.output, ran.output
        ran = forge.content(DATA)
    assert ran.status == 0, ran.output
    # A runner that was made twice has one too many, which the next run removes.
    assert forge.content(DATA).status == 0
    assert forge.content(DATA).summary["changed"] == 0
    assert len(forge.state["runners"]) == 2
    assert {row["username"] for row in forge.state["users"].values()} == {
        *("root", "ghost", "admin-dap", "ada", "grace")
    }
    tokens = {row["token"] for row in forge.state["runners"].values()}
    assert tokens == {value for name, value in forge.vault.values.items() if "token-local" in name}


def test_content_has_the_time_that_the_first_start_takes(
    made: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for 25 minutes, and nothing that runs it gives up before."""
    waited, given = [], {}
    wait = Context.wait

    def watched(self: Context, what: Any, timeout_s: float, **options: Any) -> Any:
        waited.append(timeout_s)
        return wait(self, what, timeout_s, **options)

    def ran(argv: list[str], timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        given.update({argv[-1]: timeout_s})
        return subprocess.CompletedProcess(argv, 0, json.dumps({"changed": 0}), "")

    monkeypatch.setattr(Context, "wait", watched)
    places = made.write(DATA)
    vault = read_secrets(places["--secrets"])
    secrets = Secrets(vault, Kept(made.place / "none", vault), read_clients(places["--clients"]))
    assert run(read_plan(places["--tree"]), secrets, check=False) == 0
    assert waited[0] == 25 * 60
    module = load("dap_content")
    monkeypatch.setattr(module, "run", ran)
    module.run_task("/srv/dap/dap", "content", False)
    assert given["content"] >= sum(waited)


def test_a_token_that_was_given_and_not_kept_is_replaced(made: Forge) -> None:
    """As when the run ended between GitLab's answer and the file."""
    (made.kept / "kept.json").unlink()
    del made.vault.values[TOKEN]
    assert made.content(DATA).changes == ["gitlab: changed: token of runner dap/local"]
    assert runners(made)["dap/local"]["token"] == made.vault.values[TOKEN]


def test_what_was_kept_stays_until_the_vault_has_it(made: Forge) -> None:
    token = made.vault.values[TOKEN]
    assert json.loads((made.kept / "kept.json").read_text())[TOKEN] == token
    assert (made.kept / "kept.json").stat().st_mode & 0o777 == 0o600
    # The vault has it by now, so the next run takes it away.
    assert made.content(DATA).summary["changed"] == 0
    assert json.loads((made.kept / "kept.json").read_text()) == {}


def test_a_forge_that_does_not_know_the_token_is_told_of(
    made: Forge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write(DATA)
    wait = Context.wait

    def impatient(self: Context, what: Any, timeout_s: float, **given: Any) -> Any:
        return wait(self, what, min(timeout_s, 0.3), **given)

    monkeypatch.setattr(Context, "wait", impatient)
    vault = {**read_secrets(made.place / "vault.json"), "gitlab/token": "unknown-to-gitlab"}
    clients = read_clients(made.place / "clients.json")
    plan = read_plan(made.place / "content")
    secrets = Secrets(vault, Kept(made.place / "none", vault), clients)
    assert run(plan, secrets, check=False) == 1
    told = capsys.readouterr().out
    assert "gitlab: failed: GitLab knows the platform's token not" in told
    assert "unknown-to-gitlab" not in told


def test_the_list_of_requests_is_current(made: Forge) -> None:
    """tests/gitlab/requests.txt has each kind of request once, to hold against GitLab's own API."""
    changed = without(DATA, "grace")
    changed["users"][1] |= {"email": "other@example.org", "ssh_keys": []}
    changed["projects"][0]["members"] = ["admin"]
    assert made.content(changed).status == 0
    assert made.content({**DATA, "options": {"gitlab": {"variables": "all"}}}).status == 0
    state = made.state
    number, runner = next(iter(state["runners"].items()))
    project = next(iter(state["projects"]))
    branch, member = next(iter(state["branches"])), next(iter(state["members"]))
    of_each = {key.split("/")[0]: row for key, row in state["variables"].items()}
    row_of_base = state["variables"]["instance/DAP_ENVIRONMENT_BASE"]
    token = made.vault.values["gitlab/token"]
    soon = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    made.change(
        runners={
            number: {**runner, "paused": True, "token": "bad"},
            "900": {**runner, "id": 900, "description": "dap/old", "token": "x"},
        },
        branches={branch: {**state["branches"][branch], "allow_force_push": True}},
        variables={
            **state["variables"],
            **{f"{of}/OLD": {**row, "key": "OLD"} for of, row in of_each.items()},
            "instance/DAP_ENVIRONMENT_BASE": {**row_of_base, "value": "old"},
            f"{project}/DAP_VAULT_KEY": {**row_of_base, "key": "DAP_VAULT_KEY", "description": ""},
        },
        projects={
            **state["projects"],
            project: {**state["projects"][project], "empty_repo": False},
        },
        members={**state["members"], member: {**state["members"][member], "access_level": 20}},
        tokens={token: {**state["tokens"][token], "expires_at": soon}},
    )
    host = {"name": "local", "address": "10.0.0.5", "roles": ["service", "runner"]}
    for drift in ("0 5 * * *", "0 6 * * *", ""):
        ran = made.content({**DATA, "hosts": [host], "gitops": {"drift": drift}})
        assert ran.status == 0, ran.output
    found = kinds(made.requests.read_text().splitlines())
    new = "\n".join(line for kind, line in sorted(found.items()) if kind not in listed())
    assert not new, f"add to {LIST}:\n{new}"
    assert not listed() - found.keys(), f"take out of {LIST}: {sorted(listed() - found.keys())}"
