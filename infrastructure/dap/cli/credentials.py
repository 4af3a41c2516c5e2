"""`dap credentials`: what a person needs to log in; the only verb that shows a secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.plan import Plan
    from dap.settings import Settings, User

# The account inside every workspace.
_WORKSPACE_ACCOUNT = "analyst"


@dataclass(frozen=True)
class Credentials:
    """What one person needs; `pages`: title to URL, `git`: project to URL, `ssh`: workspace to
    command.
    """

    user: str
    password: str
    pages: dict[str, str]
    git: dict[str, str]
    ssh: dict[str, str]
    postgres: str


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(credentials)


def credentials(
    user: Annotated[str, typer.Argument(help="Whose; default: everybody's.")] = "",
    *,
    ca: Annotated[bool, typer.Option("--ca", help="Print the CA's certificate alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show addresses, user names and passwords."""
    from dap.catalogue import read_catalogue  # load slowly
    from dap.cli._project import project_root, project_settings
    from dap.plan import make_plan

    root = project_root()
    settings = project_settings()
    plan = make_plan(settings, read_catalogue(root))
    people = _people(settings, user)
    secrets = _secrets(root, settings)
    if ca:
        typer.echo(secrets["tls/ca-certificate"], nl=False)
        return
    shown = [_credentials(plan, person, secrets) for person in people]
    if as_json:
        found = [asdict(each) for each in shown]
        typer.echo(json.dumps(found[0] if user else found, indent=2))
        return
    typer.echo("\n\n".join(_text(each) for each in shown))
    if not settings.tls.certificate:
        typer.echo(
            "\nBrowsers trust the pages once they have the CA: dap credentials --ca > ca.pem"
        )


def _people(settings: Settings, name: str) -> list[User]:
    from dap.errors import InputError
    from dap.settings import choice

    people = [user for user in settings.users if name in ("", user.name)]
    if not people:
        names = [user.name for user in settings.users]
        raise InputError(f"user {name}: there is none; allowed: {choice(name, names)}")
    return people


def _secrets(root: Path, settings: Settings) -> dict[str, str]:
    from dap.errors import DapError
    from dap.secrets import ensure_tls, open_vault

    vault = open_vault(root, settings.name)
    wanted = [f"users/{user.name}/password" for user in settings.users]
    if settings.tls.certificate:
        ensure_tls(vault, settings, root)
    wanted.append("tls/ca-certificate")
    missing = [name for name in wanted if name not in vault.names()]
    if missing:
        raise DapError(f"not deployed yet: {', '.join(missing)}", "run: make deploy")
    return vault.values()


def _credentials(plan: Plan, user: User, secrets: dict[str, str]) -> Credentials:
    settings = plan.settings
    ports = settings.ports
    hosts = {stream.listen: stream.hostname for stream in plan.streams}
    projects = [
        project.name
        for project in settings.projects
        if user.admin or not project.members or user.name in project.members
    ]
    git_host = hosts.get(ports.ssh, settings.domain)
    postgres_host = hosts.get(ports.postgres, settings.domain)
    database = projects[0] if projects else user.name
    return Credentials(
        user=user.name,
        password=secrets[f"users/{user.name}/password"],
        pages={route.portal.title: route.url for route in plan.routes if route.portal},
        git={name: f"ssh://git@{git_host}:{ports.ssh}/{name}" for name in projects},
        ssh={
            workspace.name: f"ssh -p {workspace.ssh_port} {_WORKSPACE_ACCOUNT}@{settings.domain}"
            for workspace in settings.workspaces
            if workspace.owner == user.name
        },
        postgres=(
            f"psql 'host={postgres_host} port={ports.postgres} user={user.name}"
            f" dbname={database} sslmode=verify-full sslrootcert=ca.pem'"
        ),
    )


def _text(each: Credentials) -> str:
    rows = [("user", each.user), ("password", each.password)]
    rows += list(each.pages.items())
    rows += [(f"git {name}", f"git clone {url}") for name, url in each.git.items()]
    rows += [(f"ssh {name}", command) for name, command in each.ssh.items()]
    rows.append(("postgres", each.postgres))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
