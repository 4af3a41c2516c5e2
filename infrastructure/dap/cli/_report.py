"""How the verbs that run an engine tell what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from dap.engine import Outcome, Progress


def console(*, as_json: bool) -> Console:
    """Where progress is shown: beside the JSON, where there is some."""
    return Console(stderr=as_json)


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
