"""`dap verify`: prove that the running platform works."""

from __future__ import annotations

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
    only: Annotated[
        str, typer.Option(help="Only the checks with this in their names: portal, 'no secret'.")
    ] = "",
    in_cluster: Annotated[
        bool,
        typer.Option(
            "--in-cluster", help="As a Job in the platform's cluster; default: from here."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: results as JSON.")] = False,
) -> None:
    """Test the running platform as its users meet it. Nothing that it makes for that stays.

    Exit status: 0 all passed, 1 some failed, 2 could not be tested.
    """
    from dap.cli._project import project_root  # loads slowly

    root = project_root()
    arguments = [*(["--only", only] if only else []), *(["--json"] if as_json else [])]
    if in_cluster:
        raise typer.Exit(_in_cluster(root, arguments, as_json=as_json))
    program = root / "infrastructure" / "tests" / "run.py"
    done = subprocess.run([sys.executable, str(program), str(root), *arguments], check=False)
    raise typer.Exit(done.returncode)


def _in_cluster(root: Path, arguments: list[str], *, as_json: bool) -> int:
    """Run the tests as a Job; return the exit status."""
    import json  # these load slowly

    from dap.cli._project import SETTINGS_FILE, project_settings
    from dap.engine import prepare
    from dap.errors import DapError, InputError

    if project_settings().cluster is None:
        raise InputError(
            f"--in-cluster: {SETTINGS_FILE} says target: docker, so there is no cluster",
            "verify from here: make verify",
        )
    from dap.stack.verify import verify as run

    try:
        ended = run(prepare(root), arguments, lambda line: typer.echo(line, err=as_json))
    except DapError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "error": error.message, "tests": []}))
        error.status = 2
        raise
    if as_json:
        typer.echo(json.dumps(json.loads(ended.results or "{}"), indent=2))
    return ended.status
