"""Secrets that services give content: into the vault at once, and a second pass brings them."""

from __future__ import annotations

import base64
import importlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dap.engine.inventory import kept_file
from dap.engine.playbook import Failure, Outcome, Step
from dap.engine.prepare import Prepared, prepare
from dap.engine.progress import Progress
from dap.errors import DapError
from rich.console import Console

from tests.unit.conftest import Project
from tests.unit.engine.modules import load

engine = importlib.import_module("dap.engine.run")  # its package has a function of that name
NAME, TOKEN = "app/pass", "given-by-the-service"
APP = "infrastructure/services/app"
CONTENT = "infrastructure/services/content/compose.yml"
Passes = list[dict[str, Any]]


@pytest.fixture
def prepared(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setenv("DAP_VAULT_KEY_FILE", str(tmp_path / "key"))
    project.replace(f"{APP}/compose.yml", "session: token", "session: token, pass: content")
    project.replace(f"{APP}/compose.yml", "secrets: [session]", "secrets: [session, pass]")
    project.replace(CONTENT, '"./content:/content:ro"', '"./content:/content:ro", "kept:/kept"')
    project.replace(CONTENT, "task: true}", "task: true, keeps: kept}\nvolumes: {kept: {}}")
    project.write("platform.yml", "name: dap\n")
    return prepare(project.root)


def hidden(tree: dict[str, Any], name: str) -> str:
    return base64.b64decode(tree[f"secrets/app/app-worker/{name}"]["content"]).decode()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Passes]:
    """Make Ansible's runs such that content keeps secrets; what each of them was given."""

    def begin(kept: dict[str, str], *, fails: bool = False) -> Passes:
        seen: Passes = []

        def run_playbook(root: Path, name: str, inventory: Path, **given: Any) -> Outcome:  # noqa: ARG001
            outcome = Outcome(given["log"])
            if given.get("tags") == "check":
                return outcome
            tree = json.loads((inventory.parent / "local.json").read_text())
            host = json.loads(inventory.read_text())["platform"]["hosts"]["local"]
            seen.append({"tree": tree, "host": host, "log": given["log"].name})
            leave = load("dap_content", "action_plugins").leave
            leave(Path(host["dap_kept_file"]), kept)
            outcome.steps.append(Step("local", "content", 1.0, (f"pass {len(seen)}",), {}, ()))
            if fails:
                outcome.failures.append(Failure("local", "content", "no", "", "", refused=False))
            return outcome

        monkeypatch.setattr(engine, "run_playbook", run_playbook)
        return seen

    return begin


def deploy(prepared: Prepared, **given: Any) -> Outcome:
    outcome: Outcome = engine.run(prepared, "deploy", Progress(Console(quiet=True)), **given)
    return outcome


def test_a_second_pass_brings_what_a_service_gave(
    prepared: Prepared, passes: Callable[..., Passes]
) -> None:
    seen = passes({NAME: TOKEN})
    outcome = deploy(prepared)
    assert [hidden(each["tree"], "pass") for each in seen] == ["", TOKEN]
    assert seen[0]["host"]["dap_kept"] == ["dap_content-kept"]
    assert [step.changes for step in outcome.steps] == [("pass 1",), ("pass 2",)]
    assert len({each["log"] for each in seen}) == 2
    # The vault has it, so a deploy after that has one pass.
    again = prepare(prepared.root)
    assert again.secrets[NAME] == TOKEN
    assert deploy(again).failures == []
    assert len(seen) == 3
    assert not prepared.work.exists()


def test_a_secret_is_saved_though_the_deploy_fails(
    prepared: Prepared, passes: Callable[..., Passes]
) -> None:
    seen = passes({NAME: TOKEN}, fails=True)
    assert deploy(prepared).failures
    assert len(seen) == 1
    assert prepare(prepared.root).secrets[NAME] == TOKEN


def test_a_token_that_was_replaced_takes_the_place_of_the_old(
    prepared: Prepared, passes: Callable[..., Passes]
) -> None:
    passes({NAME: TOKEN})
    deploy(prepared)
    seen = passes({NAME: "newer"})
    deploy(prepare(prepared.root))
    assert [hidden(each["tree"], "pass") for each in seen] == [TOKEN, "newer"]


def test_without_new_secrets_there_is_one_pass(
    prepared: Prepared, passes: Callable[..., Passes]
) -> None:
    seen = passes({})
    deploy(prepared)
    assert len(seen) == 1


def test_a_dry_run_takes_nothing(prepared: Prepared, passes: Callable[..., Passes]) -> None:
    seen = passes({NAME: TOKEN})
    deploy(prepared, check=True)
    assert len(seen) == 1
    assert NAME not in prepared.secrets


def test_a_secret_that_nobody_declares_is_refused(
    prepared: Prepared, passes: Callable[..., Passes]
) -> None:
    passes({"app/other": TOKEN})
    with pytest.raises(DapError, match="the secret app/other, which no folder declares") as told:
        deploy(prepared)
    assert TOKEN not in str(told.value)


def test_what_is_left_is_its_owners_alone(tmp_path: Path) -> None:
    leave = load("dap_content", "action_plugins").leave
    leave(tmp_path / "kept.json", {NAME: TOKEN})
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600
    leave(tmp_path / "none.json", {})
    assert not (tmp_path / "none.json").exists()


def test_only_a_volume_of_the_service_can_keep(project: Project) -> None:
    project.replace(CONTENT, "task: true}", "task: true, keeps: other}")
    with pytest.raises(DapError, match=r"x-dap\.keeps: 'other' is no volume of this service"):
        project.plan()


def test_the_file_lies_where_the_run_looks(tmp_path: Path) -> None:
    assert kept_file(tmp_path).parent == tmp_path
