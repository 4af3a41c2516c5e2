"""`dap render`: write the rendered trees to a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dap.catalogue import read_catalogue
from dap.plan import make_plan, secret_specs
from dap.render import render as render_trees
from dap.secrets import Vault, open_vault
from dap.settings import load


def render(
    out: Annotated[Path, typer.Option(help="Directory for the trees, one for each host.")] = Path(
        "build/tree"
    ),
    with_secrets: Annotated[bool, typer.Option(help="Also write the files with secrets.")] = False,
) -> None:
    """Write the files of each host to a directory, to read or to run by hand."""
    root = Path.cwd()
    settings = load(root / "platform.yml")
    plan = make_plan(settings, read_catalogue(root))
    vault: Vault | None = None
    if with_secrets:
        vault = open_vault(root, settings.name)
        vault.ensure(secret_specs(plan))
    for tree in render_trees(plan, vault):
        place = out / tree.host
        tree.write(place, secrets=with_secrets)
        typer.echo(f"{tree.host}: {place}")
    if with_secrets:
        typer.echo(f"{out} holds secrets in plain text: keep it to yourself, then delete it", err=True)
    else:
        typer.echo("Secrets are left out: --with-secrets writes them, too", err=True)
