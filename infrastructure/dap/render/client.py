"""What a client of the platform needs: environment variables and files, for one identity."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dap.catalogue import SourceFile, Templates
from dap.errors import InputError
from dap.plan import Plan
from dap.render.values import Values

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Identity:
    """A user or a project as clients log in; `projects` are names of those it may use.

    `ssh_keys` are the public ones of a user.
    """

    name: str
    password: str = field(repr=False)
    kind: Literal["user", "project"]
    projects: tuple[str, ...]
    ssh_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Client:
    """`environment`: variables; `files`: variable that points to a file → content of the file."""

    environment: Mapping[str, str]
    files: Mapping[str, str] = field(repr=False)


def identities(plan: Plan, values: Values) -> tuple[Identity, ...]:
    """Return all users, then all projects."""
    settings = plan.settings
    users = tuple(
        Identity(
            name=user.name,
            password=values.secret(f"users/{user.name}/password"),
            kind="user",
            projects=tuple(
                project.name
                for project in settings.projects
                if not project.members or user.name in project.members
            ),
            ssh_keys=tuple(user.ssh_keys),
        )
        for user in settings.users
    )
    projects = tuple(
        Identity(
            name=project.name,
            password=values.secret(f"projects/{project.name}/password"),
            kind="project",
            projects=(project.name,),
        )
        for project in settings.projects
    )
    return users + projects


class Clients:
    """Renders the `client/` files of all folders, once for each identity.

    `context` gives what a folder's client templates may use, but for the identity.
    """

    def __init__(
        self, plan: Plan, templates: Templates, context: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self._plan = plan
        self._templates = templates
        self._context = context
        self._made: dict[tuple[str, str], Client] = {}

    def of(self, identity: Identity) -> Client:
        """Return the client of an identity.

        Raises:
            InputError: a template is wrong, or two folders set a variable differently.
        """
        key = (identity.kind, identity.name)
        if key not in self._made:
            self._made[key] = self._make(identity)
        return self._made[key]

    def _make(self, identity: Identity) -> Client:
        environment: dict[str, str] = {}
        files: dict[str, str] = {}
        for name, folder in self._plan.folders.items():
            for file in folder.folder.client:
                context = {**self._context(name), "identity": identity}
                text = self._templates.render(file.where, file.text, context)
                variable = file.path.removesuffix(".j2")
                if variable == "environment":
                    for key, value in _variables(file, text):
                        if environment.setdefault(key, value) != value:
                            raise InputError(f"{file.where}: {key} is set differently elsewhere")
                elif text.strip():
                    files[variable] = files.get(variable, "") + text
        return Client(environment, files)


def _variables(file: SourceFile, text: str) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not _VARIABLE.fullmatch(key):
            raise InputError(f"{file.where}: line {number} as rendered: must be KEY=VALUE")
        found.append((key, value))
    return found
