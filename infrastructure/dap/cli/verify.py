"""`dap verify`: prove that the running platform works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
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
    environment = {**os.environ, "DAP_PROJECT": str(root)}
    done = subprocess.run([*_as_root(root), *command], cwd=place, env=environment, check=False)
    if done.returncode == 0 and not as_json:
        typer.echo("The platform works.")
    raise typer.Exit(done.returncode)


def _as_root(root: Path) -> list[str]:
    """What to put before a command: Docker and the tree's secrets are for root alone."""
    if os.geteuid() == 0:
        return []
    from dap.secrets.keyfile import VARIABLE

    kept = {"DAP_PROJECT": str(root), "HOME": str(Path.home()), "PYTHONDONTWRITEBYTECODE": "1"}
    if VARIABLE in os.environ:
        kept[VARIABLE] = os.environ[VARIABLE]
    return ["sudo", "-n", "env", *(f"{name}={value}" for name, value in kept.items())]
