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


@dataclass(frozen=True)
class Credentials:
    """What one person needs.

    `pages` is title to URL; `connect` is what services say of how to connect, title to lines to
    copy; `workspaces` is name to SSH command, as with the files of `dap ssh-config`.
    """

    user: str
    password: str
    pages: dict[str, str]
    connect: dict[str, str]
    workspaces: dict[str, str]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(credentials)


def credentials(
    *,
    user: Annotated[str, typer.Option(help="Whose; default: everybody's.")] = "",
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
            "\nBrowsers trust the pages once they have the CA: "
            ".venv/bin/dap credentials --ca > ca.pem"
        )


def _people(settings: Settings, name: str) -> list[User]:
    from dap.errors import InputError
    from dap.settings import choice

    people = [user for user in settings.users if name in ("", user.name)]
    if not people:
        names = [user.name for user in settings.users]
        raise InputError(f"--user: is no user; allowed: {choice(name, names)}; found: {name}")
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
    return Credentials(
        user=user.name,
        password=secrets[f"users/{user.name}/password"],
        pages={route.portal.title: route.url for route in plan.routes if route.portal},
        connect={
            way.title: way.text.strip()
            for folder in plan.folders.values()
            for way in folder.options.connect
        },
        workspaces={
            service.name: f"ssh {service.name}"
            for service in plan.services
            if service.ssh and user.name in service.ssh.people
        },
    )


def _text(each: Credentials) -> str:
    rows = [("user", each.user), ("password", each.password)]
    rows += [*each.pages.items(), *each.connect.items(), *each.workspaces.items()]
    width = max(len(name) for name, _ in rows)
    between = "\n" + " " * (width + 2)
    return "\n".join(f"{name:<{width}}  {between.join(text.splitlines())}" for name, text in rows)
