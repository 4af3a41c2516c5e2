"""`dap new-project`: make an analysis project, from its folder to its place on the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(new_project)


def new_project(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    *,
    members: Annotated[
        str, typer.Option(help="Users who may use it: ada,bob; default: everybody.")
    ] = "",
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder of its repository; default: beside this one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: what was made.")] = False,
) -> None:
    """Make an analysis project: a folder from the pattern, its entry in platform.yml, a deploy.

    One that failed on its way goes on when it is run again.
    """
    from dap.catalogue import read_catalogue  # load slowly
    from dap.cli._project import host_settings, project_root
    from dap.cli._report import console, fail
    from dap.engine import Progress, prepare, run
    from dap.errors import DapError
    from dap.plan import make_plan
    from dap.projects import Making

    root = project_root()
    plan = make_plan(host_settings(), read_catalogue(root))
    listed = [word.strip() for word in members.split(",") if word.strip()]
    making = Making(root, plan)
    project = making.begin(name, listed, directory)
    progress = Progress(console(as_json=as_json))
    try:
        making.write(project)
        progress.say(f"{name}: {project.directory} and platform.yml are written")
        outcome = run(prepare(root), "deploy", progress)
        fail(outcome, progress, as_json=as_json)
    except (DapError, typer.Exit, KeyboardInterrupt) as error:
        there = " and ".join(making.stands(project)) or "nothing of it"
        progress.say(f"{name} is not finished; there is {there}")
        progress.say("put right what is told here and run the same again: it goes on")
        if isinstance(error, DapError):
            raise DapError(error.message, error.hint) from error
        if isinstance(error, typer.Exit):
            raise typer.Exit(1) from error  # 2 would say that nothing was changed
        raise
    making.end(project)
    url = plan.repository_url(name)
    if as_json:
        made = {"name": name, "directory": str(project.directory), "url": url}
        typer.echo(json.dumps({**made, "changed": len(outcome.changes())}, indent=2))
        return
    say = progress.say
    say(f"{name}: repository {url}; bucket, database and experiment {name}")
    say("platform.yml and the vault have changed: commit them here")
    say("Next, to run it for the first time:")
    say(f"  cd {project.directory}")
    say("  git push -u origin main")
