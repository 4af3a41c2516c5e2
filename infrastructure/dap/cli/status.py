"""`dap status`: how the platform is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
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

    from dap.cli._project import project_root, project_settings
    from dap.cli._report import console
    from dap.mask import masking
    from dap.secrets import open_vault
    from dap.status import survey
    from dap.status.table import show

    root, settings = project_root(), project_settings()
    if settings.cluster is not None:
        raise typer.Exit(_of_cluster(root, as_json=as_json))

    def mask(text: str) -> str:
        return masking(open_vault(root, settings.name).values())(text)

    found = survey(root, settings, mask)
    if as_json:
        typer.echo(json.dumps(found.data(), indent=2))
    else:
        show(found, console(as_json=False))
    raise typer.Exit(found.status)


def _of_cluster(root: Path, *, as_json: bool) -> int:
    """Show how the services in a cluster are; return 0 if all are well."""
    import json  # these load slowly

    from dap.cli._report import console
    from dap.engine import prepare
    from dap.stack import status as status_of_stack

    prepared = prepare(root)
    rows = status_of_stack(prepared)
    wrong = [row for row in rows if row.lacks]
    if as_json:
        services = [asdict(row) for row in rows]
        typer.echo(json.dumps({"ok": not wrong, "services": services}, indent=2))
        return int(bool(wrong))
    shown = console(as_json=False)
    width = max(len(row.service) for row in rows)
    for row in rows:
        shown.print(
            f"{row.service:<{width}}  {row.lacks or 'ready'}", highlight=False, markup=False
        )
    name = prepared.plan.settings.name
    count = f"{len(wrong)} of {len(rows)} services not well" if wrong else "all services are well"
    shown.print(f"{name}: {count}", highlight=False)
    return int(bool(wrong))
