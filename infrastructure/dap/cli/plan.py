"""`dap plan`: what a deploy would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dap.engine import Outcome, Prepared, Progress
    from dap.stack.clusters import InCluster


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(plan)


def plan(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: changes as JSON.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if there are changes.")
    ] = False,
) -> None:
    """Show what a deploy would change. Changes nothing."""
    from dap.cli._clusters import as_data, counted, look  # load slowly
    from dap.cli._project import project_root
    from dap.cli._report import console, fail, print_json
    from dap.engine import Progress, prepare, run

    shown = console(as_json=as_json)
    progress = Progress(shown)
    prepared = prepare(project_root())
    look(prepared, progress.say)
    if prepared.plan.settings.cluster is not None:
        changes = _of_cluster(prepared, progress, shown, as_json=as_json)
        if exit_code and changes:
            raise typer.Exit(1)
        return
    outcome = run(prepared, "plan", progress, check=True)
    fail(outcome, progress, as_json=as_json)
    apart = _of_clusters(prepared, progress)
    changes = len(outcome.changes()) + len(prepared.new_secrets) + counted(apart)
    if as_json:
        diffs = {step.host: dict(step.diffs) for step in outcome.steps if any(step.diffs.values())}
        more = {"clusters": as_data(apart)} if apart else {}
        print_json(outcome, ok=True, new_secrets=list(prepared.new_secrets), diffs=diffs, **more)
    else:
        for name in prepared.new_secrets:
            progress.say(f"make secret {name}")
        _diffs(shown, outcome)
        shown.print(f"{changes} changes; apply them: make deploy" if changes else "no change")
    if exit_code and changes:
        raise typer.Exit(1)


def _of_clusters(prepared: Prepared, progress: Progress) -> list[InCluster]:
    """Return what would change in the clusters that run jobs."""
    from dap.cli._clusters import known

    if not known(prepared):
        return []
    from dap.stack import clusters  # loads slowly

    return clusters.plan(prepared, progress.say)


def _of_cluster(prepared: Prepared, progress: Progress, shown: Console, *, as_json: bool) -> int:
    """Show what would change in a cluster; return how many changes there are."""
    import json  # these load slowly

    from dap.cli._clusters import as_data, counted
    from dap.stack import plan as plan_stack

    found = plan_stack(prepared, progress.say).changes
    apart = _of_clusters(prepared, progress)
    count = len(found) + len(prepared.new_secrets) + counted(apart)
    if as_json:
        changes = [
            {"operation": each.operation, "object": each.thing, "paths": each.paths}
            for each in found
        ]
        secrets = list(prepared.new_secrets)
        told = {"ok": True, "changes": changes, "new_secrets": secrets}
        told |= {"clusters": as_data(apart)} if apart else {}
        typer.echo(json.dumps(told, indent=2))
    else:
        for name in prepared.new_secrets:
            progress.say(f"make secret {name}")
        shown.print(f"{count} changes" if count else "no change")
    return count


def _diffs(shown: Console, outcome: Outcome) -> None:
    from rich.syntax import Syntax

    told: set[str] = set()
    for step in outcome.steps:
        for text in step.diffs.values():
            _, _, body = text.partition("\n@@")
            # A file that is new in whole is told by its name alone, and so is a copy of another.
            if not body or body.startswith(" -0,0") or body in told:
                continue
            told.add(body)
            if shown.is_terminal:
                shown.print(Syntax(text, "diff", background_color="default", word_wrap=True))
            else:
                shown.print(text, markup=False, highlight=False, soft_wrap=True)
