"""`dap ssh-config`: with it `ssh NAME` enters a workspace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.plan import Plan
    from dap.sshfiles import SshFiles

_INCLUDED = re.compile(r"^\s*Include\s+.*\bdap/\*\.conf", re.IGNORECASE | re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(ssh_config)


def ssh_config(
    *,
    user: Annotated[str, typer.Option(help="Whose workspaces; default: everybody's.")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Write the files there alone, to give them to somebody.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print them and write nothing.")] = False,
) -> None:
    """Write OpenSSH's configuration and the host keys of the platform to ~/.ssh/dap.

    A line in ~/.ssh/config reads them; nothing else in it changes. No file holds a secret.
    """
    from dap.cli._project import project_root

    files = _files(project_root(), user)
    if show:
        for name, text in files.content.items():
            typer.echo(f"# --- {name}\n{text}")
        return
    place = folder or Path.home() / ".ssh" / "dap"
    _write(place, files)
    typer.echo(f"{place}: {', '.join(files.content)}")
    if folder is None:
        _include(place.parent / "config")
    elif files.names:
        from dap.sshfiles import FOLDER, INCLUDE

        typer.echo(f"They belong in {FOLDER}, and this line first in ~/.ssh/config: {INCLUDE}")
    typer.echo(f"then: ssh {files.names[0]}" if files.names else "no workspace is theirs")


def _files(root: Path, user: str) -> SshFiles:
    from dap.catalogue import read_catalogue  # these load slowly
    from dap.cli._project import project_settings
    from dap.errors import InputError
    from dap.plan import make_plan
    from dap.settings import choice
    from dap.sshfiles import ssh_files

    settings = project_settings()
    plan = make_plan(settings, read_catalogue(root))
    people = [each.name for each in settings.users]
    if user and user not in people:
        raise InputError(f"--user: is no user; allowed: {choice(user, people)}; found: {user}")
    return ssh_files(plan, _secrets(root, plan), [user] if user else people)


def _secrets(root: Path, plan: Plan) -> dict[str, str]:
    from dap.errors import DapError
    from dap.secrets import open_vault

    vault = open_vault(root, plan.settings.name)
    wanted = {service.ssh.host_key for service in plan.services if service.ssh}
    wanted |= {stream.ssh.host_key for stream in plan.streams if stream.ssh}
    missing = sorted(wanted - set(vault.names()))
    if missing:
        raise DapError(f"not deployed yet: {', '.join(missing)}", "run: make deploy")
    return vault.values()


def _write(place: Path, files: SshFiles) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    for name, text in files.content.items():
        (place / name).write_text(text, encoding="utf-8")
        (place / name).chmod(0o600)


def _include(config: Path) -> None:
    """Put the line first, where no `Host` above it limits it; once."""
    from dap.replace import replace_file
    from dap.sshfiles import INCLUDE

    text = config.read_text(encoding="utf-8") if config.exists() else ""
    if _INCLUDED.search(text):
        return
    config = config.resolve()  # some keep theirs elsewhere, behind a link
    new = f"{INCLUDE}\n\n{text}" if text else f"{INCLUDE}\n"
    mode = config.stat().st_mode & 0o777 if config.exists() else 0o600
    replace_file(config, new.encode(), mode)
    typer.echo(f"{config}: added the line {INCLUDE}")
