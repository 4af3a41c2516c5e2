"""`dap status`: how the platform is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.engine import Prepared
    from dap.stack.status import Row


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show how the services, disks and certificates are. Exits with 0 if all is well."""
    import json  # these load slowly

    from dap.cli._clusters import show_rows
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
    apart = _of_clusters(root) if settings.clusters else {}
    wrong = any(row.lacks for rows in apart.values() for row in rows)
    if as_json:
        data = found.data()
        if apart:
            data |= {"ok": data["ok"] and not wrong, "clusters": _as_data(apart)}
        typer.echo(json.dumps(data, indent=2))
    else:
        show(found, console(as_json=False))
        show_rows(apart, console(as_json=False))
    raise typer.Exit(max(found.status, int(wrong)))


def _of_clusters(root: Path, prepared: Prepared | None = None) -> dict[str, list[Row]]:
    """Return how the services in clusters that run jobs are."""
    from dap.engine import prepare  # load slowly
    from dap.stack import clusters

    return clusters.status(prepared or prepare(root))


def _as_data(apart: dict[str, list[Row]]) -> dict[str, list[dict[str, str]]]:
    return {cluster: [asdict(row) for row in rows] for cluster, rows in apart.items()}


def _of_cluster(root: Path, *, as_json: bool) -> int:
    """Show how the services in a cluster are; return 0 if all are well."""
    import json  # these load slowly

    from dap.cli._clusters import show_rows
    from dap.cli._report import console
    from dap.engine import prepare
    from dap.stack import status as status_of_stack

    prepared = prepare(root)
    rows = status_of_stack(prepared)
    apart = _of_clusters(root, prepared) if prepared.plan.clusters else {}
    wrong = [row for listed in (rows, *apart.values()) for row in listed if row.lacks]
    if as_json:
        told = {"ok": not wrong, "services": [asdict(row) for row in rows]}
        told |= {"clusters": _as_data(apart)} if apart else {}
        typer.echo(json.dumps(told, indent=2))
        return int(bool(wrong))
    shown = console(as_json=False)
    width = max(len(row.service) for row in rows)
    for row in rows:
        shown.print(
            f"{row.service:<{width}}  {row.lacks or 'ready'}", highlight=False, markup=False
        )
    show_rows(apart, shown)
    name = prepared.plan.settings.name
    count = (
        f"{len(wrong)} of {sum(map(len, (rows, *apart.values())))} services not well"
        if wrong
        else "all services are well"
    )
    shown.print(f"{name}: {count}", highlight=False)
    return int(bool(wrong))
