"""Projects: settings, members, protected branches, variables."""

from __future__ import annotations

import re
from typing import Any

from tests.gitlab.standin.accounts import VISIBILITY, user
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row

ACCESS = ("disabled", "private", "enabled")
LEVELS = (10, 15, 20, 25, 30, 40, 50)
PROTECTION_LEVELS = (0, 30, 40, 60)
CLEANUP: dict[str, Any] = {
    "cadence": ("1d", "7d", "14d", "1month", "3month"),
    "enabled": bool,
    "keep_n": (1, 5, 10, 25, 50, 100),
    "older_than": ("7d", "14d", "30d", "60d", "90d"),
    "name_regex": str,
    "name_regex_delete": str,
    "name_regex_keep": str,
}
NEW_CLEANUP = {
    "cadence": "1d",
    "enabled": False,
    "keep_n": 10,
    "older_than": "90d",
    "name_regex": ".*",
    "name_regex_keep": None,
}
PROJECT: dict[str, Any] = {
    "auto_devops_enabled": bool,
    "build_timeout": int,
    "ci_config_path": str,
    "container_expiration_policy_attributes": dict,
    "container_registry_access_level": ACCESS,
    "default_branch": str,
    "description": str,
    "name": str,
    "path": str,
    "public_jobs": bool,
    "shared_runners_enabled": bool,
    "visibility": VISIBILITY,
}
VARIABLE: dict[str, Any] = {
    "value": str,
    "description": str,
    "environment_scope": str,
    "masked": bool,
    "masked_and_hidden": bool,
    "protected": bool,
    "raw": bool,
    "variable_type": ("env_var", "file"),
}
# Ci::Maskable: what can be masked where variables are not expanded.
MASKABLE = re.compile(r"\S{8,}")
INSTANCE = "instance"


@endpoint("GET", "/projects", auth="nobody", query=LIST)
def projects(call: Call) -> Answer:
    """Return what a stranger sees; nobody asks for it who is known."""
    rows = call.state.projects.values()
    return page(call, [row for row in rows if row["visibility"] == "public"])


@endpoint(
    "GET",
    "/projects/:id",
    query={"statistics": str, "license": str, "with_custom_attributes": str},
)
def project(call: Call) -> Answer:
    return Answer(200, find(call))


def find(call: Call) -> Row:
    """Return the project that a request is about; raise Refusal where there is none."""
    for row in call.state.projects.values():
        if call.ids[0] in (str(row["id"]), row["path_with_namespace"]):
            return row
    raise Refusal(404, {"message": "404 Project Not Found"})


@endpoint(
    "POST",
    "/projects",
    body={**PROJECT, "namespace_id": int, "initialize_with_readme": bool},
)
def create_project(call: Call) -> Answer:
    given = dict(call.body)
    if not (given.get("name") or given.get("path")):
        raise Refusal(400, {"error": "name, path are missing, at least one must be provided"})
    namespace = call.state.groups.get(str(given.pop("namespace_id", "")))
    if namespace is None:
        raise Refusal(400, {"message": {"namespace": ["is not valid"]}})
    path = given.get("path") or given["name"]
    full = f"{namespace['path']}/{path}"
    if any(row["path_with_namespace"] == full for row in call.state.projects.values()):
        raise Refusal(400, {"message": {"path": ["has already been taken"]}})
    number = call.state.new_id()
    row = {
        "id": number,
        "auto_devops_enabled": True,
        "container_registry_access_level": "enabled",
        "container_expiration_policy": dict(NEW_CLEANUP),
        "ci_push_repository_for_job_token_allowed": False,
        "public_jobs": True,
        "shared_runners_enabled": True,
        "visibility": "private",
        **{key: value for key, value in given.items() if key != "initialize_with_readme"},
        "path": path,
        "path_with_namespace": full,
        # A repository without commits has no default branch to speak of.
        "default_branch": None,
        "empty_repo": True,
    }
    call.state.projects[str(number)] = row
    return Answer(201, row)


@endpoint(
    "PUT",
    "/projects/:id",
    body={**PROJECT, "ci_push_repository_for_job_token_allowed": bool},
)
def update_project(call: Call) -> Answer:
    row = find(call)
    given = dict(call.body)
    policy = given.pop("container_expiration_policy_attributes", {})
    for key, value in policy.items():
        kind = CLEANUP.get(key)
        fits = value in kind if isinstance(kind, tuple) else kind and isinstance(value, kind)
        if not fits:
            raise Refusal(400, {"error": f"container_expiration_policy_attributes: {key}"})
    if given.get("default_branch"):
        text = "Could not set the default branch. Do you have a branch of that name?"
        raise Refusal(400, {"message": {"base": [text]}})
    row["container_expiration_policy"] |= policy
    row |= given
    return Answer(200, row)


@endpoint("GET", "/projects/:id/members", query={**LIST, "query": str, "user_ids": str})
def members(call: Call) -> Answer:
    number = find(call)["id"]
    return page(call, [_member(call, r) for r in call.state.members.values() if r["of"] == number])


def _member(call: Call, row: Row) -> Row:
    account = call.state.users[str(row["user_id"])]
    return {**account, "access_level": row["access_level"], "expires_at": None}


@endpoint(
    "POST",
    "/projects/:id/members",
    body={"user_id": int, "username": str, "access_level": LEVELS, "expires_at": str},
    required=("access_level",),
)
def add_member(call: Call) -> Answer:
    number = find(call)["id"]
    account = user(call, str(call.body.get("user_id", "")))
    key = f"{number}/{account['id']}"
    if key in call.state.members:
        raise Refusal(409, {"message": "Member already exists"})
    row = {"of": number, "user_id": account["id"], "access_level": call.body["access_level"]}
    call.state.members[key] = row
    return Answer(201, _member(call, row))


@endpoint(
    "PUT",
    "/projects/:id/members/:user",
    body={"access_level": LEVELS, "expires_at": str},
    required=("access_level",),
)
def change_member(call: Call) -> Answer:
    row = _membership(call)
    row["access_level"] = call.body["access_level"]
    return Answer(200, _member(call, row))


@endpoint("DELETE", "/projects/:id/members/:user", query={"skip_subresources": str})
def remove_member(call: Call) -> Answer:
    _membership(call)
    del call.state.members[f"{find(call)['id']}/{call.ids[1]}"]
    return Answer(204)


def _membership(call: Call) -> Row:
    row = call.state.members.get(f"{find(call)['id']}/{call.ids[1]}")
    if row is None:
        raise Refusal(404, {"message": "404 Member Not Found"})
    return row


@endpoint("GET", "/projects/:id/protected_branches", query={**LIST, "search": str})
def protected_branches(call: Call) -> Answer:
    prefix = f"{find(call)['id']}/"
    return page(call, [r for key, r in call.state.branches.items() if key.startswith(prefix)])


@endpoint("GET", "/projects/:id/protected_branches/:name")
def branch(call: Call) -> Answer:
    row = call.state.branches.get(f"{find(call)['id']}/{call.ids[1]}")
    if row is None:
        raise Refusal(404, {"message": "404 Protected Branch Not Found"})
    return Answer(200, row)


@endpoint(
    "POST",
    "/projects/:id/protected_branches",
    body={
        "name": str,
        "push_access_level": PROTECTION_LEVELS,
        "merge_access_level": PROTECTION_LEVELS,
        "allow_force_push": bool,
    },
    required=("name",),
)
def protect(call: Call) -> Answer:
    key = f"{find(call)['id']}/{call.body['name']}"
    if key in call.state.branches:
        name = call.body["name"]
        raise Refusal(409, {"message": f"Protected branch '{name}' already exists"})
    levels = {
        f"{what}_access_levels": [{"access_level": call.body.get(f"{what}_access_level", 40)}]
        for what in ("push", "merge")
    }
    row = {"id": call.state.new_id(), "name": call.body["name"], **levels}
    row["allow_force_push"] = call.body.get("allow_force_push", False)
    call.state.branches[key] = row
    return Answer(201, row)


@endpoint("DELETE", "/projects/:id/protected_branches/:name")
def unprotect(call: Call) -> Answer:
    branch(call)
    del call.state.branches[f"{find(call)['id']}/{call.ids[1]}"]
    return Answer(204)


@endpoint("GET", "/projects/:id/variables", query=LIST)
def variables(call: Call) -> Answer:
    return _variables(call, str(find(call)["id"]))


@endpoint("GET", "/admin/ci/variables", query=LIST)
def instance_variables(call: Call) -> Answer:
    return _variables(call, INSTANCE)


def _variables(call: Call, of: str) -> Answer:
    rows = [row for key, row in call.state.variables.items() if key.startswith(f"{of}/")]
    return page(call, rows)


@endpoint(
    "POST", "/projects/:id/variables", body={**VARIABLE, "key": str}, required=("key", "value")
)
def create_variable(call: Call) -> Answer:
    return _create_variable(call, str(find(call)["id"]))


IN_INSTANCE = {
    name: kind
    for name, kind in VARIABLE.items()
    if name not in ("environment_scope", "masked_and_hidden")
}


@endpoint(
    "POST", "/admin/ci/variables", body={**IN_INSTANCE, "key": str}, required=("key", "value")
)
def create_instance_variable(call: Call) -> Answer:
    return _create_variable(call, INSTANCE)


def _create_variable(call: Call, of: str) -> Answer:
    key = call.body["key"]
    if not re.fullmatch(r"[A-Za-z0-9_]{1,255}", key):
        raise Refusal(400, {"message": {"key": ["can contain only letters, digits and '_'."]}})
    if f"{of}/{key}" in call.state.variables:
        raise Refusal(400, {"message": {"key": [f"({key}) has already been taken"]}})
    new = {"key": key, "description": None, "masked": False, "protected": False, "raw": False}
    row = {**new, "variable_type": "env_var", "environment_scope": "*", **call.body}
    _check_variable(row)
    call.state.variables[f"{of}/{key}"] = row
    return Answer(201, row)


def _check_variable(row: Row) -> None:
    if row["masked"] and not MASKABLE.fullmatch(row["value"]):
        raise Refusal(400, {"message": {"value": ["is invalid"]}})
    if len(row["value"]) > 10_000:
        raise Refusal(400, {"message": {"value": ["is too long (maximum is 10000 characters)"]}})


@endpoint("PUT", "/projects/:id/variables/:key", body=VARIABLE)
def update_variable(call: Call) -> Answer:
    return _update_variable(call, str(find(call)["id"]), call.ids[1])


@endpoint("PUT", "/admin/ci/variables/:key", body=IN_INSTANCE)
def update_instance_variable(call: Call) -> Answer:
    return _update_variable(call, INSTANCE, call.ids[0])


def _update_variable(call: Call, of: str, key: str) -> Answer:
    row = _variable(call, of, key)
    new = {**row, **call.body}
    _check_variable(new)
    row |= new
    return Answer(200, row)


@endpoint("DELETE", "/projects/:id/variables/:key")
def delete_variable(call: Call) -> Answer:
    return _delete_variable(call, str(find(call)["id"]), call.ids[1])


@endpoint("DELETE", "/admin/ci/variables/:key")
def delete_instance_variable(call: Call) -> Answer:
    return _delete_variable(call, INSTANCE, call.ids[0])


def _delete_variable(call: Call, of: str, key: str) -> Answer:
    _variable(call, of, key)
    del call.state.variables[f"{of}/{key}"]
    return Answer(204)


def _variable(call: Call, of: str, key: str) -> Row:
    row = call.state.variables.get(f"{of}/{key}")
    if row is None:
        raise Refusal(404, {"message": "404 Variable Not Found"})
    return row
