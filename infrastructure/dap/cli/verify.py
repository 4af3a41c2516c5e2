"""`dap verify`: prove that the running platform works."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(verify)


def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: results as JSON.")] = False,
) -> None:
    """Test the running platform as its users meet it. Changes nothing."""
    from dap.cli._project import project_root, project_settings  # load slowly

    root = project_root()
    project_settings()
    place = root / "infrastructure" / "tests"
    command = [sys.executable, "-m", "pytest", str(place), f"--rootdir={place}"]
    command += ["-p", "no:cacheprovider"]
    for_people = ["-q", "--no-header", "--tb=line"]
    command += ["--dap-json", "-p", "no:terminal"] if as_json else for_people
    done = subprocess.run(
        command, cwd=place, env={**os.environ, "DAP_PROJECT": str(root)}, check=False
    )
    if done.returncode == 0 and not as_json:
        typer.echo("The platform works.")
    raise typer.Exit(done.returncode)
