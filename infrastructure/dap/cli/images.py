"""`dap images`: have what the nodes of a cluster run where they get it from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(images)


def images(
    *,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them to a file, for nodes to load.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Only say what they are called; builds nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Build the images that a cluster's nodes need, and push them to the registry of the settings.

    A deploy does so by itself where there is a registry. Without one, nodes load them beforehand.
    """
    import json  # these load slowly

    from dap.cli._project import project_root
    from dap.cli._report import console
    from dap.engine import Progress, prepare
    from dap.errors import InputError
    from dap.stack import have_images, needed_images

    prepared = prepare(project_root())
    cluster = prepared.plan.settings.cluster
    if cluster is None:
        raise InputError(
            "platform.yml: target: docker: hosts build their images by themselves", "make deploy"
        )
    progress = Progress(console(as_json=as_json))
    changes = () if names else have_images(prepared, progress.say, save)
    wanted = [cluster.registry.reference(each) for each in needed_images(prepared.plan)]
    if as_json:
        pushed = [each.thing for each in changes]
        typer.echo(json.dumps({"ok": True, "images": wanted, "pushed": pushed}, indent=2))
        return
    for each in wanted:
        typer.echo(each)
    if save is not None:
        typer.echo(f"{save}: for each node: ctr -n k8s.io images import {save.name}", err=True)
