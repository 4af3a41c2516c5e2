"""`dap doctor`: what keeps a deploy, or a platform, from working."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.doctor import Examination
    from dap.engine import Prepared


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Examine hosts or cluster, and the platform if it is there.

    Exits with 0 if there is no problem.
    """
    import json  # these load slowly

    from dap.cli._project import project_root
    from dap.cli._report import console
    from dap.engine import prepare
    from dap.findings import tell

    shown = console(as_json=as_json)
    prepared = prepare(project_root())
    if prepared.plan.settings.cluster is None:
        asked = "asking the hosts, which ask mirrors and indexes"
    else:
        asked = "asking the cluster"
    with shown.status(asked):
        found = _examine(prepared)
    if as_json:
        typer.echo(json.dumps(found.data(), indent=2))
    else:
        tell(found.findings, shown)
        shown.print(found.summary, highlight=False, markup=False)
    raise typer.Exit(found.status)


def _examine(prepared: Prepared) -> Examination:
    """Examine hosts or the platform's cluster, and clusters that run jobs."""
    if prepared.plan.settings.cluster is None:
        from dap.doctor import examine  # these load slowly

        found = examine(prepared)
        if not prepared.plan.clusters:
            return found
        from dap.stack.doctor import of_clusters

        return replace(found, findings=(*found.findings, *of_clusters(prepared)))
    from dap.stack.doctor import examine as examine_cluster

    return examine_cluster(prepared)
