"""`dap validate`: check the settings and what they ask of the catalogue."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(validate)


def validate(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: problems as JSON.")] = False,
) -> None:
    """Check platform.yml; changes nothing. Exit status 2 if something is wrong."""
    from dap.catalogue import read_catalogue  # load slowly
    from dap.cli._project import SETTINGS_FILE, project_root
    from dap.cluster import objects
    from dap.plan import make_plan
    from dap.render import render, render_clusters
    from dap.settings import SettingsError, load

    root = project_root()
    try:
        plan = make_plan(load(root / SETTINGS_FILE), read_catalogue(root))
        if plan.settings.cluster is not None:
            (tree,) = render(plan)
            objects(plan, tree)
        for tree in render_clusters(plan):
            objects(plan, tree)
    except SettingsError as error:
        if not as_json:
            raise
        problems = [asdict(problem) | {"path": list(problem.path)} for problem in error.problems]
        typer.echo(json.dumps({"valid": False, "problems": problems}))
        raise typer.Exit(error.status) from None
    typer.echo(json.dumps({"valid": True, "problems": []}) if as_json else f"{SETTINGS_FILE}: ok")
