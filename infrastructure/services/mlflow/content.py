"""Accounts, an experiment for each project, and who may do what with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from dap.content import ContentError, Context

SERVER = "http://mlflow:5000"
ADMIN = "dap.service"
WORKSPACE = "default"
WAIT_S = 120
TIMEOUT_S = 30
LOGINS = 8  # at the same time

REGISTRY = ("registered_model", "prompt")

# Kind of thing, its id or "*", and what may be done with it.
Grant = tuple[str, str, str]


@dataclass(frozen=True)
class Role:
    """A role: just these grants, for just these accounts."""

    name: str
    grants: set[Grant]
    accounts: set[str]


class Server:
    """MLflow's REST interface, as its administrator."""

    def __init__(self, password: str) -> None:
        self._session = requests.Session()
        self._session.auth = (ADMIN, password)
        self._session.trust_env = False

    def call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Return the answer to a request; `content` is its query (GET) or its JSON body.

        Raises:
            ContentError: MLflow refuses; the message carries its reason.
        """
        url = f"{SERVER}/api/{path}"
        if method == "GET":
            answer = self._session.get(url, params=content, timeout=TIMEOUT_S)
        else:
            answer = self._session.request(method, url, json=content, timeout=TIMEOUT_S)
        if not answer.ok:
            raise ContentError(f"MLflow: {method} {path}: {answer.status_code} {answer.text[:300]}")
        data: dict[str, Any] = answer.json()
        return data

    def experiment(self, name: str) -> str | None:
        """Return the id of an experiment that is not deleted, None if there is none."""
        found = self.call(
            "POST", "2.0/mlflow/experiments/search", filter=f"name = '{name}'", max_results=1
        )
        return next((e["experiment_id"] for e in found.get("experiments", [])), None)


def apply(context: Context) -> None:
    """Make accounts of users and projects, the projects' experiments and their roles."""
    context.wait(f"{SERVER}/health", WAIT_S)
    server = Server(context.secret("mlflow/admin-password"))
    _accounts(context, server)
    # The registry is one for the platform: who registers a model manages it, everybody finds it.
    everybody = {entry["name"] for entry in (*context.users, *context.projects)}
    roles = [Role("readers", {(kind, "*", "READ") for kind in REGISTRY}, everybody)]
    for project in context.projects:
        name, members = project["name"], set(project["members"])
        experiment = _experiment(context, server, name)
        roles.append(Role(f"{name}-jobs", {("experiment", experiment, "EDIT")}, {name}))
        roles.append(Role(f"{name}-members", {("experiment", experiment, "MANAGE")}, members))
    _roles(context, server, roles)


def _accounts(context: Context, server: Server) -> None:
    found = {
        user["username"]: user for user in server.call("GET", "2.0/mlflow/users/list")["users"]
    }
    wanted = [
        (u["name"], f"users/{u['name']}/password", bool(u.get("admin"))) for u in context.users
    ]
    wanted += [(p["name"], f"projects/{p['name']}/password", False) for p in context.projects]
    passwords = {name: context.secret(secret) for name, secret, _ in wanted}
    there = sorted(found.keys() & passwords.keys())
    # Each login makes MLflow compute a slow hash, which it does for several at once.
    with ThreadPoolExecutor(LOGINS) as pool:
        logins = {name: pool.submit(_logs_in, name, passwords[name]) for name in there}
    for name, _, admin in wanted:
        password = passwords[name]
        missing = name not in found
        changed = missing or not logins[name].result()
        if changed and not context.check:
            if missing:
                server.call("POST", "2.0/mlflow/users/create", username=name, password=password)
            else:
                server.call(
                    "PATCH", "2.0/mlflow/users/update-password", username=name, password=password
                )
        context.step(f"account {name}", changed)
        if admin != (not missing and found[name]["is_admin"]):
            if not context.check:
                server.call("PATCH", "2.0/mlflow/users/update-admin", username=name, is_admin=admin)
            context.step(f"account {name} {'is' if admin else 'is no longer'} administrator", True)
    for name in sorted(found.keys() - {name for name, _, _ in wanted} - {ADMIN}):
        if not context.check:
            server.call("DELETE", "2.0/mlflow/users/delete", username=name)
        context.step(f"account {name} removed", True)


def _logs_in(name: str, password: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (name, password)
        answer = session.get(f"{SERVER}/api/2.0/mlflow/users/current", timeout=TIMEOUT_S)
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
        raise ContentError(f"MLflow: login of {name}: {answer.status_code} {answer.text[:300]}")
    return answer.status_code == HTTPStatus.OK


def _experiment(context: Context, server: Server, name: str) -> str:
    """Return the id of the experiment; none (in a dry run alone) is told as an empty text."""
    found = server.experiment(name)
    context.step(f"experiment {name}", found is None)
    if found is None and not context.check:
        made = server.call("POST", "2.0/mlflow/experiments/create", name=name)
        return str(made["experiment_id"])
    return found or ""


def _roles(context: Context, server: Server, roles: list[Role]) -> None:
    found = {role["name"]: role for role in server.call("GET", "3.0/mlflow/roles/list")["roles"]}
    users = server.call("GET", "2.0/mlflow/users/list")["users"]
    for role in roles:
        have = found.get(role.name, {})
        rights = {
            (grant["resource_type"], grant["resource_pattern"], grant["permission"]): grant["id"]
            for grant in have.get("permissions", [])
        }
        holders = {
            user["username"] for user in users if role.name in {r["name"] for r in user["roles"]}
        }
        changed = not have or rights.keys() != role.grants or holders != role.accounts
        if changed and not context.check:
            _change_role(server, role, have.get("id"), rights, holders)
        context.step(f"role {role.name}", changed)


def _change_role(
    server: Server, role: Role, number: int | None, rights: dict[Grant, int], holders: set[str]
) -> None:
    if number is None:
        made = server.call("POST", "3.0/mlflow/roles/create", name=role.name, workspace=WORKSPACE)
        number = made["role"]["id"]
    for grant in rights.keys() - role.grants:
        path = "3.0/mlflow/roles/permissions/remove"
        server.call("DELETE", path, role_permission_id=rights[grant])
    for kind, pattern, permission in role.grants - rights.keys():
        server.call(
            "POST",
            "3.0/mlflow/roles/permissions/add",
            role_id=number,
            resource_type=kind,
            resource_pattern=pattern,
            permission=permission,
        )
    for user in holders - role.accounts:
        server.call("DELETE", "3.0/mlflow/roles/unassign", username=user, role_id=number)
    for user in role.accounts - holders:
        server.call("POST", "3.0/mlflow/roles/assign", username=user, role_id=number)
