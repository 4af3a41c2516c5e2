"""`dap deploy`: bring the hosts to what the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dap.engine import Prepared, Progress
    from dap.stack.clusters import InCluster


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(deploy)


def deploy(
    *,
    forget: Annotated[
        str,
        typer.Option(metavar="NAME", help="It is gone from platform.yml, and for good."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: changes as JSON.")] = False,
) -> None:
    """Bring the platform to what platform.yml says. What fits already is left alone."""
    from dap.cli._clusters import as_data, counted  # load slowly
    from dap.cli._project import project_root
    from dap.cli._report import console, fail, print_json
    from dap.engine import Progress, prepare, run

    shown = console(as_json=as_json)
    progress = Progress(shown)
    prepared = prepare(project_root())
    forgotten = _checked(prepared, progress, forget)
    if prepared.plan.settings.cluster is not None:
        changed = _to_cluster(prepared, progress, as_json=as_json)
        _end(shown, prepared, progress, changed, as_json=as_json)
        return
    outcome = run(prepared, "deploy", progress, lost=[forget] if forget and not forgotten else [])
    fail(outcome, progress, as_json=as_json)
    apart = _to_clusters(prepared, progress)
    if as_json:
        print_json(outcome, ok=True, **({"clusters": as_data(apart)} if apart else {}))
    changed = len(outcome.changes()) + counted(apart)
    _end(shown, prepared, progress, changed, as_json=as_json)


def _checked(prepared: Prepared, progress: Progress, forget: str) -> bool:
    """Look at clusters, and forget one that is gone for good; whether there was one."""
    from dap.cli._clusters import look

    if not look(prepared, progress.say) or not forget:
        return False
    from dap.stack import clusters  # loads slowly

    if not clusters.forget(prepared, forget):
        return False
    progress.say(f"{forget}: forgotten unseen; what runs there still runs")
    return True


def _to_clusters(prepared: Prepared, progress: Progress) -> list[InCluster]:
    """Deploy to the clusters that run jobs, by what the vault has now."""
    from dap.cli._clusters import known

    if not known(prepared):
        return []
    from dap.stack import clusters  # loads slowly

    return clusters.deploy(prepared, progress.say)


def _to_cluster(prepared: Prepared, progress: Progress, *, as_json: bool) -> int:
    """Deploy to a cluster; return how much was changed."""
    import json  # these load slowly

    from dap.cli._clusters import as_data, counted
    from dap.stack import deploy as deploy_stack

    done = deploy_stack(prepared, progress.say)
    apart = _to_clusters(prepared, progress)
    if as_json:
        changes = [
            {"operation": each.operation, "object": each.thing, "paths": each.paths}
            for each in done.changes
        ]
        told = {"ok": True, "changes": changes, "content": done.content}
        told |= {"clusters": as_data(apart)} if apart else {}
        typer.echo(json.dumps(told, indent=2))
    return len(done.changes) + done.content + counted(apart)


def _end(
    shown: Console, prepared: Prepared, progress: Progress, changed: int, *, as_json: bool
) -> None:
    if as_json:
        return
    if prepared.new_secrets:
        progress.say(f"{len(prepared.new_secrets)} secrets made; commit {prepared.vault.file}")
    progress.say(f"changed={changed}")
    _pages(shown, prepared)


def _pages(shown: Console, prepared: Prepared) -> None:
    pages = [
        (route.url, route.portal.title if route.portal else "Start page")
        for route in sorted(prepared.plan.routes, key=lambda route: route.name != "@")
        if route.portal or route.name == "@"
    ]
    width = max((len(url) for url, _ in pages), default=0)
    for url, title in pages:
        # Addresses are there to be copied: whole, and first on their line.
        shown.print(f"{url:<{width}}  {title}", highlight=False, markup=False, soft_wrap=True)
    shown.print("Log in with what make credentials shows; prove it: make verify", highlight=False)
