"""`dap reproduce`: run a run's job again and compare the metrics."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dap.reproduce import Metric, Reproduction

_RUN = re.compile(r"[0-9a-f]{32}")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(reproduce)


def reproduce(
    run: Annotated[str, typer.Argument(help="Id of the MLflow run, as on its page.")],
    *,
    job: Annotated[str, typer.Option(help="Job that made it, where the run lacks the tag.")] = "",
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="Relative difference that counts as equal, as 1e-9."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the comparison.")] = False,
) -> None:
    """Run the job that made a run again: same commit, image and data. Compare the metrics.

    The new run bears the tag dap.reproduces; no model is registered, no table changed.
    Exit status: 0 all metrics agree; 1 some do not, or something is gone.
    """
    from dap import names  # load slowly
    from dap.catalogue import read_catalogue
    from dap.cli._project import host_settings, project_root
    from dap.cli._report import console
    from dap.engine import Progress
    from dap.errors import InputError
    from dap.plan import make_plan
    from dap.reproduce import Asked, UnreproducibleError
    from dap.reproduce import reproduce as run_again
    from dap.secrets import open_vault

    if not _RUN.fullmatch(run):
        raise InputError(f"is no id of a run; allowed: 32 hex digits; found: {json.dumps(run)}")
    root, settings = project_root(), host_settings()
    plan = make_plan(settings, read_catalogue(root))
    progress = Progress(console(as_json=as_json))
    vault = open_vault(root, settings.name)
    try:
        with names.known(plan):
            done = run_again(root, plan, vault, Asked(run, job, tolerance), progress.say)
    except UnreproducibleError as error:
        if as_json:
            gone = [{"what": what, "remedy": remedy} for what, remedy in error.problems]
            typer.echo(json.dumps({"ok": False, "run": run, "problems": gone}, indent=2))
        raise
    if as_json:
        typer.echo(json.dumps(_data(done), indent=2))
    else:
        typer.echo(_text(done, settings.name))
    raise typer.Exit(0 if done.agrees else 1)


def _data(done: Reproduction) -> dict[str, Any]:
    return {
        "ok": done.agrees,
        "run": done.run.id,
        "reproduction": done.again.id,
        "url": done.again.url,
        "pipeline": done.pipeline,
        **{key: value for key, value in asdict(done.origin).items() if key != "pipeline_id"},
        "tolerance": done.tolerance,
        "metrics": [asdict(metric) for metric in done.metrics],
        "problems": [],
    }


def _text(done: Reproduction, name: str) -> str:
    rows = [("METRIC", "THEN", "NOW", "VALUES", "")]
    rows += [
        (each.name, _number(each.then), _number(each.now), str(each.values), _verdict(each))
        for each in done.metrics
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    agree = sum(metric.agrees for metric in done.metrics)
    measure = f"within {done.tolerance:g}" if done.tolerance else "equal"
    told = f"{agree} of {len(done.metrics)} metrics are {measure}"
    if not done.metrics:
        told = "the run has no metrics to compare"
    lines.append(f"{name}: {told}; the new run: {done.again.url}")
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _verdict(metric: Metric) -> str:
    if metric.difference == 0:
        return "equal"
    if metric.difference is None:
        return "differs: not the same steps"
    told = f"relative difference {metric.difference:.3g}"
    return f"agrees: {told}" if metric.agrees else f"differs: {told}"
