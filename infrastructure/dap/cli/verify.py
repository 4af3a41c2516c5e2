"""`dap verify`: prove that the running platform works."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(verify)


def verify(
    *,
    only: Annotated[
        str, typer.Option(help="Only the checks with this in their names: portal, 'no secret'.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: results as JSON.")] = False,
) -> None:
    """Test the running platform as its users meet it. Nothing that it makes for that stays.

    Exit status: 0 all passed, 1 some failed, 2 could not be tested.
    """
    from dap.cli._project import project_root  # loads slowly

    root = project_root()
    command = [sys.executable, str(root / "infrastructure" / "tests" / "run.py"), str(root)]
    command += ["--only", only] if only else []
    command += ["--json"] if as_json else []
    done = subprocess.run(command, check=False)
    raise typer.Exit(done.returncode)
