"""`dap destroy`: take the platform off its hosts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dap.engine import Prepared, Progress
    from dap.stack.clusters import InCluster


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(destroy)


def destroy(
    *,
    delete_data: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Delete all data, too; NAME is the platform's, to show that it is meant.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: changes as JSON.")] = False,
) -> None:
    """Remove containers, networks and what hosts trust. Data and images stay unless asked for."""
    from dap.cli._clusters import as_data  # load slowly
    from dap.cli._project import project_root
    from dap.cli._report import console, fail, print_json
    from dap.engine import Progress, prepare, run
    from dap.errors import InputError

    shown = console(as_json=as_json)
    progress = Progress(shown)
    prepared = prepare(project_root())
    name = prepared.plan.settings.name
    if delete_data and delete_data != name:
        raise InputError(
            f"--delete-data: must be the platform's name; allowed: {name}; found: {delete_data}",
            "nothing was removed",
        )
    apart = _of_clusters(prepared, progress)
    if prepared.plan.settings.cluster is not None:
        from dap.stack import destroy as destroy_stack  # loads slowly

        removed, kept = destroy_stack(prepared, progress.say, data=bool(delete_data))
        if as_json:
            objects = [each.thing for each in removed]
            told = {"ok": True, "removed": objects, "kept": kept}
            told |= {"clusters": as_data(apart)} if apart else {}
            typer.echo(json.dumps(told, indent=2))
            return
        _end(shown, name, kept, deleted=bool(delete_data))
        return
    outcome = run(
        prepared,
        "destroy",
        progress,
        playbook="destroy",
        variables={"dap_delete_data": bool(delete_data), "dap_drain_s": 0},
    )
    fail(outcome, progress, as_json=as_json)
    kept = sorted({volume for step in outcome.steps for volume in step.kept})
    if as_json:
        more = {"clusters": as_data(apart)} if apart else {}
        print_json(outcome, ok=True, kept=kept, **more)
        return
    _end(shown, name, kept, deleted=bool(delete_data))


def _of_clusters(prepared: Prepared, progress: Progress) -> list[InCluster]:
    """Take the platform off the clusters that run jobs, before what these jobs use goes."""
    from dap.cli._clusters import known

    if not known(prepared):
        return []
    from dap.stack import clusters  # loads slowly

    return clusters.destroy(prepared, progress.say)


def _end(shown: Console, name: str, kept: list[str], *, deleted: bool) -> None:
    if deleted:
        shown.print("The data is deleted. Images and infrastructure/secrets/ are kept.")
    else:
        volumes = ", ".join(kept) or "none"
        shown.print(f"Kept: images, infrastructure/secrets/ and the volumes {volumes}.")
        shown.print(f"To delete the data, too: make destroy DELETE_DATA={name}")
    shown.print("Bring it back: make deploy")
