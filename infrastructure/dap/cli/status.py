"""`dap status`: how the platform is."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show how the services, disks and certificates are. Exits with 0 if all is well."""
    import json  # these load slowly

    from dap.cli._project import host_settings, project_root
    from dap.cli._report import console
    from dap.mask import masking
    from dap.secrets import open_vault
    from dap.status import survey
    from dap.status.table import show

    root, settings = project_root(), host_settings()

    def mask(text: str) -> str:
        return masking(open_vault(root, settings.name).values())(text)

    found = survey(root, settings, mask)
    if as_json:
        typer.echo(json.dumps(found.data(), indent=2))
    else:
        show(found, console(as_json=False))
    raise typer.Exit(found.status)
