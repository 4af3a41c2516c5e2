"""The content run: order, failures, dry run, and that no secret is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dap.content.context import Secrets
from dap.content.kept import Kept
from dap.content.plan import Plan, read_plan
from dap.content.runner import run as run_with

SECRET = "hunter2hunter2"
SETTINGS = {
    "users": [{"name": "alice"}, {"name": "bob"}],
    "projects": [{"name": "open", "members": []}, {"name": "closed", "members": ["bob"]}],
}


def tree(tmp_path: Path, folders: dict[str, tuple[list[str], str]]) -> Plan:
    for name, (_, body) in folders.items():
        place = tmp_path / "services" / name
        place.mkdir(parents=True)
        (place / "content.py").write_text(body)
    described: dict[str, Any] = {name: {"needs": needs} for name, (needs, _) in folders.items()}
    plan = {"settings": SETTINGS, "folders": described}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    return read_plan(tmp_path)


def run(plan: Plan, vault: dict[str, str], *, check: bool) -> int:
    return run_with(plan, Secrets(vault, Kept(Path("/nowhere"), vault)), check=check)


def step(what: str, *, changed: bool) -> str:
    return f"def apply(context):\n    context.step({what}, {changed})\n"


def test_needs_come_first_and_the_last_line_is_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tree(
        tmp_path,
        {"a": (["b"], step("'last'", changed=True)), "b": ([], step("'first'", changed=False))},
    )
    assert run(plan, {}, check=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["b: ok: first", "a: changed: last"]
    assert json.loads(lines[-1]) == {"changed": 1, "ok": 1}


def test_a_failure_stops_what_needs_it_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tree(
        tmp_path,
        {
            "broken": ([], "def apply(context):\n    raise RuntimeError('no disk')\n"),
            "after": (["broken"], step("'x'", changed=True)),
            "apart": ([], step("'y'", changed=True)),
        },
    )
    assert run(plan, {}, check=False) == 1
    out = capsys.readouterr().out
    assert "no disk" in out
    assert "after: failed: not tried, it needs broken" in out
    summary = {"changed": 1, "ok": 0, "failed": ["after", "broken"]}
    assert json.loads(out.splitlines()[-1]) == summary


def test_no_secret_is_printed_even_by_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "def apply(context):\n    raise ValueError(context.secret('x'))\n"
    assert run(tree(tmp_path, {"leaky": ([], body)}), {"x": SECRET}, check=False) == 1
    out = capsys.readouterr().out
    assert "leaky: failed" in out
    assert SECRET not in out


def test_a_dry_run_says_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tree(tmp_path, {"a": ([], step("'x'", changed=True))}), {}, check=True) == 0
    assert "a: would change: x" in capsys.readouterr().out


def test_members_of_a_project_without_any_are_everybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "def apply(context):\n"
        "    for user in context.users:\n"
        "        context.step(user['name'] + ' ' + ' '.join(user['projects']), False)\n"
    )
    run(tree(tmp_path, {"a": ([], body)}), {}, check=False)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "a: ok: alice open",
        "a: ok: bob open closed",
    ]


@pytest.mark.parametrize(
    "waits_for",
    ["'http://127.0.0.1:9/health'", "lambda: open('/nowhere/at/all')"],
)
def test_what_does_not_get_ready_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], waits_for: str
) -> None:
    body = f"def apply(context):\n    context.wait({waits_for}, 0.2)\n"
    assert run(tree(tmp_path, {"slow": ([], body)}), {}, check=False) == 1
    told, summary = capsys.readouterr().out.splitlines()
    assert told.startswith("slow: failed: ")
    assert " was not ready within 0 s: " in told
    assert json.loads(summary)["failed"] == ["slow"]


def test_an_error_that_waiting_does_not_mend_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "def apply(context):\n"
        "    context.wait(lambda: {}['key'], 600, retry_on=lambda e: isinstance(e, OSError))\n"
    )
    assert run(tree(tmp_path, {"wrong": ([], body)}), {}, check=False) == 1
    assert "KeyError: 'key'" in capsys.readouterr().out
