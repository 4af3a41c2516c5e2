"""`dap workspace`: starts, stops and enters one workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from dap.plan import HostView
    from dap.settings import Settings

ACTIONS = ("start", "stop", "recreate", "shell")
_DONE = {
    "start": ("is started", "runs already"),
    "stop": ("is stopped, until it is started", "is stopped already"),
    "recreate": ("is made anew with its home", ""),
}
_TIMEOUT_S = 180


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(workspace)


def workspace(
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}.")] = "",
    *,
    name: Annotated[str, typer.Option(help="Which workspace.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Start, stop or recreate a workspace, or open a shell in it. Its home is always kept.

    A stopped one stays stopped on a deploy.
    """
    import json

    from dap.cli._project import host_settings, project_root
    from dap.reach import hand_over

    settings = host_settings()
    root = project_root()
    host = _host(root, settings, name, action)
    if action == "shell":
        import sys

        found = _ask(root, settings, host, name, "find")
        terminal = ["--tty"] if sys.stdin.isatty() else []
        shell = ["docker", "exec", "--interactive", *terminal, found["container"], "bash", "-l"]
        raise typer.Exit(hand_over(root, host, shell))
    found = _ask(root, settings, host, name, action)
    if as_json:
        typer.echo(json.dumps({"workspace": name, "host": host.name, "changed": found["changed"]}))
    else:
        typer.echo(f"{name} {_DONE[action][0 if found['changed'] else 1]}")


def _host(root: Path, settings: Settings, name: str, action: str) -> HostView:
    """Return the host of a workspace.

    Raises:
        InputError: there is no such workspace or action.
    """
    from dap.catalogue import read_catalogue  # these load slowly
    from dap.errors import InputError
    from dap.plan import make_plan
    from dap.settings import choice

    usage = f"make workspace NAME={name or 'name'} {'|'.join(ACTIONS)}"
    hosts = {
        each.name: host.host
        for host in make_plan(settings, read_catalogue(root)).hosts
        for each in host.host.workspaces
    }
    if not hosts:
        raise InputError("platform.yml has no workspaces")
    if name not in hosts:
        what = f"no workspace is called {name}" if name else "which workspace?"
        raise InputError(f"{what}; there are: {choice(name, [*hosts])}", usage)
    if action not in ACTIONS:
        what = f"{action} is nothing to do with a workspace" if action else "what is to be done?"
        raise InputError(f"{what}; allowed: {', '.join(ACTIONS)}", usage)
    return hosts[name]


def _ask(root: Path, settings: Settings, host: HostView, name: str, action: str) -> Any:
    from dap.errors import DapError
    from dap.reach import ask

    arguments = {
        "project": settings.name,
        "directory": host.directory,
        "service": name,
        "action": action,
    }
    answer = ask(root, host, "workspace", arguments, timeout_s=_TIMEOUT_S)
    if "error" in answer:
        raise DapError(answer["error"], answer["hint"])
    return answer
