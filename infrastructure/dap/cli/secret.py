"""`dap secret`: keep a secret that a person types, or make those that are missing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(secret)


def secret(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Such as storage/archive/access-key.")] = "",
    missing: Annotated[
        bool, typer.Option("--missing", help="Make those that a deploy would make.")
    ] = False,
) -> None:
    """Read a secret from standard input and keep it, encrypted; or make what is missing."""
    if bool(name) == missing:
        raise typer.BadParameter("NAME or --missing", context)
    if missing:
        _make()
        return
    from dap.cli._project import project_root, project_settings  # load slowly
    from dap.errors import InputError
    from dap.secrets import open_vault

    vault = open_vault(project_root(), project_settings().name)
    if sys.stdin.isatty():
        value = typer.prompt(name, hide_input=True, default="", show_default=False)
    else:
        try:
            value = sys.stdin.buffer.read().decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise InputError(f"secret {name}: is no UTF-8 text") from None
    vault.set(name, value)
    typer.echo(f"secret {name}: {'kept' if vault.save() else 'unchanged'}")


def _make() -> None:
    from dap.cli._project import project_root  # these load slowly
    from dap.engine import prepare

    prepared = prepare(project_root())
    prepared.vault.save()
    typer.echo(f"secrets made: {', '.join(prepared.new_secrets) or 'none was missing'}")
