"""How the verbs that run an engine tell what came of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from dap.engine import Outcome, Progress

_FILE = 240  # characters a table may be wide where there is no terminal


def console(*, as_json: bool) -> Console:
    """Where progress is shown: beside the JSON, where there is some."""
    # A path or an address must stay whole to be copied, so no line is broken.
    shown = Console(stderr=as_json, soft_wrap=True)
    if not shown.is_terminal and "COLUMNS" not in os.environ:
        shown.width = _FILE
    return shown


def fail(outcome: Outcome, progress: Progress, *, as_json: bool) -> None:
    """If something failed: tell it and exit, with 2 where all that failed was refused, else 1."""
    if not outcome.failures:
        return
    for failure in outcome.failures:
        progress.failure(failure)
    refused = all(failure.refused for failure in outcome.failures)
    if as_json:
        print_json(outcome, ok=False)
    progress.say(f"failed; log: {outcome.log}")
    raise typer.Exit(2 if refused else 1)


def print_json(outcome: Outcome, *, ok: bool, **more: Any) -> None:
    """Print what changed and what failed for a script."""
    data = {
        "ok": ok,
        "changed": len(outcome.changes()),
        "changes": outcome.changes(),
        "failures": [asdict(failure) for failure in outcome.failures],
        "log": str(outcome.log),
        **more,
    }
    typer.echo(json.dumps(data, indent=2))
