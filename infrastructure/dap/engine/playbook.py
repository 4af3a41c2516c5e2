"""Runs a playbook and tells what it did on which host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dap.errors import DapError
from dap.ssh import problem

Event = Mapping[str, Any]
_KEPT_LOGS = 20


@dataclass(frozen=True)
class Step:
    """What a task did on a host; `diffs` maps paths to unified diffs.

    `gone` are hosts of earlier deploys: how they are reached, as the settings had it.
    """

    host: str
    task: str
    seconds: float
    changes: tuple[str, ...]
    diffs: Mapping[str, str]
    kept: tuple[str, ...]
    gone: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a task failed on a host and what to do; refused: before anything was changed."""

    host: str
    task: str
    reason: str
    details: str
    remedy: str
    refused: bool


@dataclass
class Outcome:
    """All that a run did; it succeeded if there is no failure."""

    log: Path
    steps: list[Step] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def changes(self) -> list[dict[str, str]]:
        """Return host, task and change of all that changed, in order."""
        return [
            {"host": step.host, "task": step.task, "change": change}
            for step in self.steps
            for change in step.changes
        ]

    def after(self, first: Outcome) -> Outcome:
        """What an earlier run and then this one did."""
        return Outcome(self.log, [*first.steps, *self.steps], [*first.failures, *self.failures])

    def record(self, event: Event) -> None:
        """Take in an event of the callback plugin `dap_events`."""
        match event["event"]:
            case "ok":
                self.steps.append(
                    Step(
                        host=event["host"],
                        task=event["task"],
                        seconds=event["seconds"],
                        changes=tuple(event.get("changes") or ()),
                        diffs=event.get("diffs") or {},
                        kept=tuple(event.get("kept") or ()),
                        gone=tuple(event.get("gone") or ()),
                    )
                )
            case "failed" | "unreachable":
                reason = str(event.get("msg", "no reason given")).strip()
                known = problem(event["host"], reason)
                remedy = event.get("remedy") or self._remedy(event["event"], reason)
                reason, remedy = known or (reason, remedy)
                self.failures.append(
                    Failure(
                        host=event["host"],
                        task=event["task"],
                        reason=reason,
                        details=str(event.get("details", "")).strip(),
                        remedy=remedy,
                        refused=bool(event.get("refused")),
                    )
                )

    def _remedy(self, event: str, reason: str) -> str:
        if "sudo" in reason:
            return "deploy as root, or let the account use sudo without a password"
        if event == "unreachable":
            return "see that it answers, as hosts in platform.yml say: make doctor"
        return f"the log says more: {self.log}"


def run_playbook(
    root: Path,
    name: str,
    inventory: Path,
    *,
    log: Path,
    check: bool = False,
    lock: int | None = None,
    variables: Mapping[str, Any] | None = None,
    tags: str = "",
    forks: int = 1,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Run a playbook of `infrastructure/ansible` to its end.

    Args:
        root: the project's folder.
        name: the playbook, without .yml.
        inventory: as `write_inventory` wrote it.
        log: gets all that Ansible prints; older logs beside it are removed.
        check: change nothing, tell what would change, with differences.
        lock: descriptor that the run keeps open.
        variables: for all hosts; no secrets, they stand in the command line.
        tags: run only the tasks with this tag.
        forks: hosts that are worked on at once.
        on_event: called with each event as it happens.

    Raises:
        DapError: Ansible itself failed.
    """
    place = root / "infrastructure" / "ansible"
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"{name}.yml"]
    command += ["--inventory", str(inventory)]
    command += ["--check", "--diff"] if check else []
    command += ["--extra-vars", json.dumps(variables)] if variables else []
    command += ["--tags", tags] if tags else []
    command += ["--forks", str(forks)]
    outcome = Outcome(log)
    _prepare_log(log)
    finished = False
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            command,
            cwd=place,
            env=_environment(root, place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=() if lock is None else (lock,),
        ) as process,
    ):
        if process.stdout is None:
            raise AssertionError
        for line in process.stdout:
            kept.write(line)
            kept.flush()
            event = _event(line)
            if event is not None:
                outcome.record(event)
                finished = finished or event["event"] == "stats"
                on_event(event)
    if not finished or (process.returncode and not outcome.failures):
        end = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
        raise DapError(f"Ansible ended with status {process.returncode}: {end}", f"see {log}")
    return outcome


def _environment(root: Path, place: Path) -> dict[str, str]:
    """Return the environment without what would change how Ansible behaves."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
        "ANSIBLE_HOME": str(root / ".dap" / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _event(line: str) -> Event | None:
    if not line.startswith('{"event"'):
        return None
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def _prepare_log(log: Path) -> None:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(log.parent.glob("*.log"))[: -_KEPT_LOGS + 1]:
        old.unlink()
    log.touch(mode=0o600)
