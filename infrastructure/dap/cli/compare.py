"""`dap compare`: what a deploy of this project would bring that one of another commit would not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.render import Tree


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(compare)


def compare(
    commit: Annotated[str, typer.Argument(help="Such as origin/main.")],
    *,
    markdown: Annotated[Path | None, typer.Option(help="File to write it to, as Markdown.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="File for the numbers of services, as GitLab reads them.")
    ] = None,
) -> None:
    """Show what differs from a commit, without secrets and without asking a host."""
    import json  # these load slowly

    from dap import compare as comparing
    from dap.cli._project import project_root
    from dap.errors import DapError

    root = project_root()
    new = _trees(root)
    with comparing.checked_out(root, commit) as other:
        try:
            found = comparing.compare(_trees(other), new)
        except DapError as error:
            # An update brings this code, and what it renders with, at once.
            said = f"platform.yml: ok. {commit} can't be rendered by this version beside it: "
            found = comparing.Difference(said=f"{said}{error.message}")
    text = "\n".join(found.lines())
    typer.echo(text)
    if markdown is not None:
        markdown.write_text(f"{text}\n", encoding="utf-8")
    if report is not None:
        report.write_text(f"{json.dumps(found.report)}\n", encoding="utf-8")


def _trees(root: Path) -> tuple[Tree, ...]:
    from dap.catalogue import read_catalogue
    from dap.cli._project import SETTINGS_FILE
    from dap.plan import make_plan
    from dap.render import render, render_clusters
    from dap.settings import load

    plan = make_plan(load(root / SETTINGS_FILE, with_files=False), read_catalogue(root))
    return (*render(plan), *render_clusters(plan))
