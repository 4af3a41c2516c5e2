"""`dap logs`: what the services say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.logs import Line, Wanted
    from dap.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(logs)


def logs(
    *,
    service: Annotated[str, typer.Option(help="Which; default: all, by time.")] = "",
    lines: Annotated[
        int | None,
        typer.Option(min=1, help="The last so many lines; default: 100, or all of --since."),
    ] = None,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="From then on: 90s, 30m, 2h, 3d or 2026-01-31T14:00."),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: an object a line.")] = False,
) -> None:
    """Show what services say, without the platform's secrets. Changes nothing."""
    import json  # these load slowly

    from dap.cli._project import project_root, project_settings
    from dap.logs import Wanted, begin
    from dap.mask import masking
    from dap.secrets import open_vault

    settings = project_settings()
    root = project_root()
    start = begin(since)
    wanted = Wanted(service, lines or (0 if start else 100), start, follow)
    mask = masking(open_vault(root, settings.name).values())
    try:
        for line in _lines(root, settings, wanted):
            text = mask(line.text)
            if as_json:
                shown = {"time": line.time, "service": line.service, "host": line.host}
                typer.echo(json.dumps({**shown, "text": text}))
            else:
                typer.echo(text if service else f"{line.label} | {text}")
    except KeyboardInterrupt:
        if not follow:
            raise


def _lines(root: Path, settings: Settings, wanted: Wanted) -> Iterator[Line]:
    """Return the lines of hosts, and of clusters."""
    if settings.cluster is None and not settings.clusters:
        from dap.logs import read  # these load slowly

        return read(root, settings, wanted)
    from dap.engine import prepare
    from dap.stack.logs import read as read_cluster

    return read_cluster(prepare(root), wanted, lambda line: typer.echo(line, err=True))
