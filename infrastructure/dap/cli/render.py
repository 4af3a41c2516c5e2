"""`dap render`: write the rendered trees to a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(render)


def render(
    *,
    out: Annotated[Path, typer.Option(help="Directory for the trees, one for each host.")] = Path(
        "build/tree"
    ),
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also write the files with secrets.")
    ] = False,
) -> None:
    """Write the files of each host to a directory, to read or to run by hand."""
    from dap.catalogue import read_catalogue  # load slowly
    from dap.cli._project import project_root, project_settings
    from dap.plan import make_plan, secret_specs
    from dap.render import render as render_trees
    from dap.render import render_clusters

    root, settings = project_root(), project_settings()
    plan = make_plan(settings, read_catalogue(root))
    vault = None
    if with_secrets:
        from dap.secrets import ensure_tls, open_vault

        vault = open_vault(root, settings.name)
        vault.ensure(secret_specs(plan))
        ensure_tls(vault, settings, root)
        vault.save()
    for tree in (*render_trees(plan, vault), *render_clusters(plan, vault)):
        tree.write(out / tree.host, secrets=with_secrets)
        typer.echo(f"{tree.host}: {out / tree.host}")
    if with_secrets:
        typer.echo(
            f"{out} holds secrets in plain text: keep it to yourself, then delete it", err=True
        )
    else:
        typer.echo("Secrets are left out; --with-secrets writes them too", err=True)
