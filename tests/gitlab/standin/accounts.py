"""Access tokens, settings of the instance, users and their keys, groups."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from tests.gitlab.standin.internal import digest
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import SETTINGS, Row, days_from_now, token

# Gitlab::PathRegex::TOP_LEVEL_ROUTES, those that can be typed as a name.
RESERVED = {
    *("admin", "api", "assets", "dashboard", "explore", "files", "groups", "health_check", "help"),
    *("import", "jwt", "login", "oauth", "profile", "projects", "public", "s", "search"),
    *("sitemap", "snippets", "unsubscribes", "uploads", "users", "v2"),
}
VISIBILITY = ("private", "internal", "public")
USER: dict[str, Any] = {
    "admin": bool,
    "bio": str,
    "can_create_group": bool,
    "email": str,
    "external": bool,
    "force_random_password": bool,
    "name": str,
    "note": str,
    "password": str,
    "projects_limit": int,
    "reset_password": bool,
    "username": str,
}


@endpoint("GET", "/version")
def version(call: Call) -> Answer:  # noqa: ARG001  all endpoints take the call
    return Answer(200, {"version": "19.5.0", "revision": "standin", "enterprise": False})


@endpoint("GET", "/user")
def own_account(call: Call) -> Answer:
    return Answer(200, call.state.users["1"])


@endpoint("GET", "/personal_access_tokens/self")
def own_token(call: Call) -> Answer:
    return Answer(200, _shown_token(call.state.tokens[call.headers["PRIVATE-TOKEN"]]))


@endpoint("POST", "/personal_access_tokens/self/rotate", body={"expires_at": str})
def rotate(call: Call) -> Answer:
    expires_at = call.body.get("expires_at") or days_from_now(7)
    if not 0 < (date.fromisoformat(expires_at) - datetime.now(UTC).date()).days <= 365:
        raise Refusal(400, {"error": "expires_at is out of range"})
    call.state.tokens[call.headers["PRIVATE-TOKEN"]]["revoked"] = True
    value = token("glpat-")
    new = {"id": call.state.new_id(), "name": "platform", "revoked": False}
    call.state.tokens[value] = {**new, "expires_at": expires_at}
    return Answer(200, {**_shown_token(call.state.tokens[value]), "token": value})


def _shown_token(row: Row) -> Row:
    return {**row, "active": not row["revoked"], "scopes": ["api", "admin_mode"], "user_id": 1}


@endpoint("GET", "/application/settings")
def settings(call: Call) -> Answer:
    return Answer(200, {"id": 1, **call.state.settings})


@endpoint(
    "PUT",
    "/application/settings",
    body={name: list if isinstance(v, list) else type(v) for name, v in SETTINGS.items()},
)
def set_settings(call: Call) -> Answer:
    call.state.settings |= call.body
    return settings(call)


@endpoint(
    "GET",
    "/users",
    query={
        **LIST,
        **dict.fromkeys(["username", "search", "active", "blocked", "external"], str),
        **dict.fromkeys(["humans", "exclude_internal", "without_project_bots", "admins"], str),
    },
)
def users(call: Call) -> Answer:
    rows = list(call.state.users.values())
    if call.query.get("humans", "").lower() == "true":
        rows = [row for row in rows if not row["bot"]]
    if "username" in call.query:
        rows = [row for row in rows if row["username"] == call.query["username"]]
    return page(call, rows)


@endpoint(
    "POST",
    "/users",
    body={**USER, "skip_confirmation": bool},
    required=("email", "name", "username"),
)
def create_user(call: Call) -> Answer:
    given = call.body
    if not any(given.get(n) for n in ("password", "reset_password", "force_random_password")):
        names = "password, reset_password, force_random_password"
        raise Refusal(400, {"error": f"{names} are missing, at least one parameter must be given"})
    _check_user(call, given, None)
    number = call.state.new_id()
    if not given.get("skip_confirmation"):
        raise Refusal(400, {"error": "without skip_confirmation a mail would have to be answered"})
    row = {
        "id": number,
        "username": given["username"],
        "name": given["name"],
        "email": given["email"],
        "is_admin": given.get("admin", False),
        "can_create_group": given.get("can_create_group", True),
        "state": "active",
        "bot": False,
    }
    call.state.users[str(number)] = row
    call.state.passwords[str(number)] = digest(given.get("password") or token(""))
    return Answer(201, row)


@endpoint("PUT", "/users/:id", body={**USER, "skip_reconfirmation": bool})
def update_user(call: Call) -> Answer:
    row = user(call, call.ids[0])
    _check_user(call, call.body, row)
    for name in ("name", "username", "can_create_group"):
        if name in call.body:
            row[name] = call.body[name]
    if "admin" in call.body:
        row["is_admin"] = call.body["admin"]
    if "email" in call.body:
        if not call.body.get("skip_reconfirmation"):
            raise Refusal(400, {"error": "without skip_reconfirmation the old address stays"})
        row["email"] = call.body["email"]
    if "password" in call.body:
        call.state.passwords[call.ids[0]] = digest(call.body["password"])
    return Answer(200, row)


def _check_user(call: Call, given: Row, row: Row | None) -> None:
    others = [other for other in call.state.users.values() if other is not row]
    groups = {group["path"] for group in call.state.groups.values()}
    name = given.get("username")
    if name is not None:
        if name in RESERVED or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise Refusal(400, {"message": {"username": [f"{name} is a reserved name"]}})
        if name in groups or any(other["username"] == name for other in others):
            raise Refusal(409, {"message": "Username has already been taken"})
    if "email" in given and any(other["email"] == given["email"] for other in others):
        raise Refusal(409, {"message": "Email has already been taken"})
    if "password" in given and len(given["password"]) < 8:
        raise Refusal(400, {"message": {"password": ["is too short (minimum is 8 characters)"]}})


@endpoint("POST", "/users/:id/block")
def block(call: Call) -> Answer:
    user(call, call.ids[0])["state"] = "blocked"
    return Answer(201, True)


@endpoint("POST", "/users/:id/unblock")
def unblock(call: Call) -> Answer:
    row = user(call, call.ids[0])
    if row["state"] != "blocked":
        raise Refusal(403, {"message": "403 Forbidden - Blocked users can be unblocked"})
    row["state"] = "active"
    return Answer(201, True)


def user(call: Call, number: str) -> Row:
    """Return a user by id; raise Refusal where there is none."""
    if number not in call.state.users:
        raise Refusal(404, {"message": "404 User Not Found"})
    return call.state.users[number]


@endpoint("GET", "/users/:id/keys", query=LIST)
def keys(call: Call) -> Answer:
    user(call, call.ids[0])
    rows = call.state.keys.values()
    return page(call, [row for row in rows if row["user_id"] == int(call.ids[0])])


@endpoint(
    "POST",
    "/users/:id/keys",
    body={
        "title": str,
        "key": str,
        "expires_at": str,
        "usage_type": ("auth", "signing", "auth_and_signing"),
    },
    required=("title", "key"),
)
def create_key(call: Call) -> Answer:
    user(call, call.ids[0])
    key = " ".join(call.body["key"].split()[:2])
    if not re.fullmatch(r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]{40,}", key):
        raise Refusal(400, {"message": {"key": ["is invalid"]}})
    if any(row["key"] == key for row in call.state.keys.values()):
        raise Refusal(400, {"message": {"fingerprint": ["has already been taken"]}})
    number = call.state.new_id()
    row = {"id": number, "user_id": int(call.ids[0]), "title": call.body["title"], "key": key}
    call.state.keys[str(number)] = row
    return Answer(201, row)


@endpoint("DELETE", "/users/:id/keys/:key")
def delete_key(call: Call) -> Answer:
    row = call.state.keys.get(call.ids[1])
    if row is None or row["user_id"] != int(call.ids[0]):
        raise Refusal(404, {"message": "404 Key Not Found"})
    del call.state.keys[call.ids[1]]
    return Answer(204)


@endpoint("GET", "/groups/:id", query={"with_projects": str, "with_custom_attributes": str})
def group(call: Call) -> Answer:
    for row in call.state.groups.values():
        if call.ids[0] in (str(row["id"]), row["path"]):
            return Answer(200, row)
    raise Refusal(404, {"message": "404 Group Not Found"})


@endpoint(
    "POST",
    "/groups",
    body={
        "name": str,
        "path": str,
        "description": str,
        "visibility": VISIBILITY,
        "parent_id": int,
        "project_creation_level": ("noone", "owner", "maintainer", "developer", "administrator"),
    },
    required=("name", "path"),
)
def create_group(call: Call) -> Answer:
    path = call.body["path"]
    taken = {row["path"] for row in call.state.groups.values()}
    if path in RESERVED or path in taken | {u["username"] for u in call.state.users.values()}:
        raise Refusal(400, {"message": 'Failed to save group {:path=>["has been taken"]}'})
    number = call.state.new_id()
    row = {"id": number, "name": call.body["name"], "path": path, "full_path": path}
    row["visibility"] = call.body.get("visibility", "private")
    call.state.groups[str(number)] = row
    return Answer(201, row)
