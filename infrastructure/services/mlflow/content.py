"""Accounts, an experiment for each project, and who may do what with it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests

from dap.content import Context, ContentError

SERVER = "http://mlflow:5000"
ADMIN = "dap.service"
WORKSPACE = "default"
WAIT_S = 120
TIMEOUT_S = 30

Grants = set[tuple[str, str, str]]


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
        part = {"params": content} if method == "GET" else {"json": content}
        answer = self._session.request(method, f"{SERVER}/api/{path}", timeout=TIMEOUT_S, **part)  # type: ignore[arg-type]
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
    have = {r["name"]: r for r in server.call("GET", "3.0/mlflow/roles/list")["roles"]}
    # The registry is one for the platform: who registers a model manages it, everybody finds it.
    people = {user["name"] for user in context.users}
    projects = {project["name"] for project in context.projects}
    registry = {(kind, "*", "READ") for kind in ("registered_model", "prompt")}
    _role(context, server, have, "readers", registry, people | projects)
    for project in context.projects:
        name = project["name"]
        experiment = _experiment(context, server, name)
        if experiment is None:  # a dry run, which could not make it
            continue
        _role(context, server, have, f"{name}-jobs", {("experiment", experiment, "EDIT")}, {name})
        members = set(project["members"])
        _role(context, server, have, f"{name}-members", {("experiment", experiment, "MANAGE")}, members)


def _accounts(context: Context, server: Server) -> None:
    found = {user["username"]: user for user in server.call("GET", "2.0/mlflow/users/list")["users"]}
    wanted = [(u["name"], f"users/{u['name']}/password", bool(u.get("admin"))) for u in context.users]
    wanted += [(p["name"], f"projects/{p['name']}/password", False) for p in context.projects]
    for name, secret, admin in wanted:
        password = context.secret(secret)
        missing = name not in found
        changed = missing or not _logs_in(name, password)
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


def _experiment(context: Context, server: Server, name: str) -> str | None:
    found = server.experiment(name)
    if found is None and not context.check:
        found = server.call("POST", "2.0/mlflow/experiments/create", name=name)["experiment_id"]
        context.step(f"experiment {name}", True)
    else:
        context.step(f"experiment {name}", found is None)
    return found


def _role(
    context: Context,
    server: Server,
    have: dict[str, Any],
    name: str,
    grants: Grants,
    accounts: set[str],
) -> None:
    """Make a role with just these grants, of just these accounts."""
    role = have.get(name)
    changed = role is None
    if role is None and not context.check:
        role = server.call("POST", "3.0/mlflow/roles/create", name=name, workspace=WORKSPACE)["role"]
    if role is None:
        context.step(f"role {name}", True)
        return
    number = role["id"]
    found = server.call("GET", "3.0/mlflow/roles/permissions/list", role_id=number)["role_permissions"]
    rights = {(g["resource_type"], g["resource_pattern"], g["permission"]): g["id"] for g in found}
    holders = {a["user_id"] for a in server.call("GET", "3.0/mlflow/roles/users/list", role_id=number)["assignments"]}
    ids = {u["username"]: u["id"] for u in server.call("GET", "2.0/mlflow/users/list")["users"]}
    surplus = {user for user, number in ids.items() if number in holders and user not in accounts}
    lacking = {user for user in accounts if ids.get(user) not in holders}
    changed |= rights.keys() != grants or bool(surplus) or bool(lacking)
    if not context.check:
        for grant in rights.keys() - grants:
            server.call("DELETE", "3.0/mlflow/roles/permissions/remove", role_permission_id=rights[grant])
        for kind, pattern, permission in grants - rights.keys():
            server.call(
                "POST",
                "3.0/mlflow/roles/permissions/add",
                role_id=number,
                resource_type=kind,
                resource_pattern=pattern,
                permission=permission,
            )
        for user in surplus:
            server.call("DELETE", "3.0/mlflow/roles/unassign", username=user, role_id=number)
        for user in lacking:
            server.call("POST", "3.0/mlflow/roles/assign", username=user, role_id=number)
    context.step(f"role {name}", changed)
