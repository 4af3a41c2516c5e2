"""`dap schema`: the JSON schema of the settings."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(schema)


def schema() -> None:
    """Print the JSON schema of platform.yml (kept in infrastructure/platform.schema.json)."""
    from dap.settings.schema import schema_text  # loads slowly

    typer.echo(schema_text(), nl=False)
