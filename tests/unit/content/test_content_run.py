"""The content run: order, failures, dry run, and that no secret is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from dap.content.context import Secrets
from dap.content.kept import Kept
from dap.content.plan import Plan, PlanError, read_plan
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


def test_content_may_be_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tree(tmp_path, {"a": ([], "")})
    package = tmp_path / "services" / "a" / "content"
    package.mkdir()
    (tmp_path / "services" / "a" / "content.py").unlink()
    (package / "__init__.py").write_text(
        "from .parts import NAME\n\n" + step("NAME", changed=False)
    )
    (package / "parts.py").write_text("NAME = 'of a part'\n")
    assert run(read_plan(tmp_path), {}, check=False) == 0
    assert capsys.readouterr().out.startswith("a: ok: of a part\n")
    assert plan.settings == SETTINGS


def test_a_secret_that_was_kept_is_on_disk_found_again_and_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "def apply(context):\n"
        "    found = context.kept('a/token')\n"
        "    if found is None:\n"
        f"        context.keep('a/token', '{SECRET}')\n"
        "    context.step(f'token {found} {context.kept(\"a/token\")}', found is None)\n"
    )
    plan = tree(tmp_path, {"a": ([], body)})
    for said in ("changed: token None ******", "ok: token ****** ******"):
        assert run_with(plan, Secrets({}, Kept(tmp_path, {})), check=False) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"a: {said}"
    file = tmp_path / "kept.json"
    assert json.loads(file.read_text()) == {"a/token": SECRET}
    # The vault has it by now; before that, what was kept goes before what the vault has.
    assert Kept(tmp_path, {"a/token": "old"}).values == {"a/token": SECRET}
    assert Kept(tmp_path, {"a/token": SECRET}).values == {}
    assert json.loads(file.read_text()) == {}


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {}, check=True)
    kept.put("a/token", SECRET)
    assert not (tmp_path / "kept.json").exists()


def test_what_was_kept_and_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("{")
    with pytest.raises(PlanError, match=r"kept\.json: can't be read"):
        Kept(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"password {SECRET}", True),
        (base64.b64encode(f"ada:{SECRET}".encode()).decode(), True),
        (base64.b64encode(f"a:{SECRET}".encode()).decode(), True),
        (base64.b64encode(f"{SECRET} and more".encode()).decode(), True),
        (SECRET[:-1], False),
        ("a certificate: everybody may see it", False),
    ],
)
def test_a_text_with_a_secret_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, secret: bool
) -> None:
    body = f"def apply(context):\n    context.step(str(context.is_secret({text!r})), False)\n"
    vault = {"x": SECRET, "tls/ca-certificate": "everybody may see it", "short": "a"}
    assert run(tree(tmp_path, {"a": ([], body)}), vault, check=False) == 0
    assert capsys.readouterr().out.startswith(f"a: ok: {secret}\n")
