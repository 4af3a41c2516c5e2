"""Access tokens of projects: each is of an account of its own, a member of that project alone."""

from __future__ import annotations

from typing import Any

from tests.gitlab.standin.projects import LEVELS, find
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row, token


@endpoint("GET", "/projects/:id/access_tokens", query={**LIST, "state": str, "search": str})
def project_tokens(call: Call) -> Answer:
    number = find(call)["id"]
    rows = [row for row in call.state.project_tokens.values() if row["project"] == number]
    if "search" in call.query:
        rows = [row for row in rows if call.query["search"] in row["name"]]
    return page(call, [_shown(row) for row in rows])


@endpoint(
    "POST",
    "/projects/:id/access_tokens",
    body={"name": str, "scopes": list, "access_level": LEVELS, "expires_at": str},
    required=("name", "scopes", "expires_at"),
)
def create_project_token(call: Call) -> Answer:
    project, number, user = find(call)["id"], call.state.new_id(), call.state.new_id()
    level = call.body.get("access_level", 40)
    name = f"project_{project}_bot_{user}"
    account: dict[str, Any] = {"id": user, "username": name, "name": call.body["name"]}
    account |= {"email": f"{name}@noreply.invalid", "state": "active", "bot": True}
    account |= {"is_admin": False, "can_create_group": False}
    call.state.users[str(user)] = account
    member = {"of": project, "user_id": user, "access_level": level}
    call.state.members[f"{project}/{user}"] = member
    value = token("glpat-")
    row = {**call.body, "id": number, "user_id": user, "access_level": level, "project": project}
    call.state.project_tokens[value] = row
    return Answer(201, {**_shown(row), "token": value})


@endpoint("DELETE", "/projects/:id/access_tokens/:token")
def revoke_project_token(call: Call) -> Answer:
    """Take away a token, and its account with it."""
    project = find(call)["id"]
    for value, row in call.state.project_tokens.items():
        if (str(row["id"]), row["project"]) == (call.ids[1], project):
            del call.state.project_tokens[value]
            del call.state.users[str(row["user_id"])]
            del call.state.members[f"{project}/{row['user_id']}"]
            return Answer(204)
    raise Refusal(404, {"message": "404 Not found"})


def _shown(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "project"} | {"active": True}
