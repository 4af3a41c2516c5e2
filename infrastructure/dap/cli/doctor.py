"""`dap doctor`: what keeps a deploy, or a platform, from working."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Examine the hosts, and the platform if it is there. Exits with 0 if there is no problem."""
    import json  # these load slowly

    from dap.cli._project import host_settings, project_root
    from dap.cli._report import console
    from dap.doctor import examine
    from dap.engine import prepare
    from dap.findings import tell

    shown = console(as_json=as_json)
    host_settings()
    prepared = prepare(project_root())
    with shown.status("asking the hosts, which ask mirrors and indexes"):
        found = examine(prepared)
    if as_json:
        typer.echo(json.dumps(found.data(), indent=2))
    else:
        tell(found.findings, shown)
        shown.print(found.summary, highlight=False, markup=False)
    raise typer.Exit(found.status)
