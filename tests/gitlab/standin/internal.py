"""What git in the container asks before it serves: whose key, may they, and what was pushed.

GitLab's shell asks such questions at addresses of these names; who asks has a secret that only the
container's own programs can read.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from tests.gitlab.standin.routes import Answer, Call, Refusal, endpoint
from tests.gitlab.standin.state import Row, State

READ, WRITE = "git-upload-pack", "git-receive-pack"
REPORTER, DEVELOPER = 20, 30
NONE = "0" * 40


@endpoint("GET", "/internal/authorized_keys", auth="shell", query={"key": str})
def whose_key(call: Call) -> Answer:
    """Return who has a public key (its base64 text alone); blocked users have none."""
    for row in call.state.keys.values():
        if row["key"].split()[1] == call.query["key"] and _is_active(call.state, row["user_id"]):
            return Answer(200, {"key": row["key"], "who": f"user-{row['user_id']}"})
    raise Refusal(404, {"message": "404 Not Found"})


@endpoint("GET", "/internal/discover", auth="shell", query={"who": str})
def discover(call: Call) -> Answer:
    """Return an account, to greet it."""
    return Answer(200, call.state.users[call.query["who"].removeprefix("user-")])


@endpoint(
    "POST",
    "/internal/allowed",
    auth="shell",
    body={"who": str, "project": str, "action": (READ, WRITE), "changes": list},
    required=("who", "project", "action"),
)
def allowed(call: Call) -> Answer:
    """Say whether somebody may read or write a project, and may make these changes.

    A change is `OLD NEW REF`, with a fourth word `forced` where NEW does not have OLD.
    """
    return Answer(200, admit(call.state, **{"changes": [], **call.body}))


def admit(state: State, who: str, project: str, action: str, changes: list[str]) -> Row:
    """Return the project that `who` may do this with; raise Refusal for any other."""
    row = find_project(state, project)
    level = _level(state, who, row) if row else 0
    if row is None or level < REPORTER:
        raise Refusal(404, {"message": "The project you were looking for could not be found"})
    if action == WRITE and level < DEVELOPER:
        raise Refusal(403, {"message": "You are not allowed to push code to this project."})
    for change in changes:
        _check_change(state, row, level, change)
    return row


def find_project(state: State, path: str) -> Row | None:
    """Return the project of a path; None where there is none."""
    path = path.strip("/").removesuffix(".git")
    rows = state.projects.values()
    return next((row for row in rows if row["path_with_namespace"] == path), None)


def _level(state: State, who: str, project: Row) -> int:
    kind, _, number = who.partition("-")
    if kind == "job":
        job = state.jobs.get(number)
        if job is None or job["status"] != "running" or job["project"] != project["id"]:
            return 0
        # It may what the one may who started the pipeline, where the project lets jobs push.
        allowed = project["ci_push_repository_for_job_token_allowed"]
        return _level(state, job["user"], project) if allowed else REPORTER
    account = state.users.get(number)
    if account is None or not _is_active(state, account["id"]):
        return 0
    if account["is_admin"]:
        return 60
    member = state.members.get(f"{project['id']}/{number}")
    return int(member["access_level"]) if member else 0


def _is_active(state: State, user: int) -> bool:
    return bool(state.users[str(user)]["state"] == "active")


def _check_change(state: State, project: Row, level: int, change: str) -> None:
    _, new, ref, *forced = change.split()
    branch = ref.removeprefix("refs/heads/")
    rule = state.branches.get(f"{project['id']}/{branch}")
    if branch == ref or rule is None:
        return
    if new == NONE:
        raise Refusal(403, {"message": "You can only delete protected branches using the web."})
    if forced and not rule["allow_force_push"]:
        text = "You are not allowed to force push code to a protected branch on this project."
        raise Refusal(403, {"message": text})
    if level < int(rule["push_access_levels"][0]["access_level"] or 61):
        text = "You are not allowed to push code to protected branches on this project."
        raise Refusal(403, {"message": text})


@endpoint("POST", "/internal/token", auth="shell", body={"value": str}, required=("value",))
def take_over_token(call: Call) -> Answer:
    """Give root an access token, as the script at the end of GitLab's start does."""
    call.state.take_over(call.body["value"])
    return Answer(200, {})


def digest(password: str) -> str:
    """Return what is kept of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def log_in(state: State, name: str, password: str) -> str | None:
    """Return who logs in with git over HTTP by a password or token; None for nobody.

    An access token goes with any name, that of a job with the name `gitlab-ci-token`.
    """
    if name == "gitlab-ci-token":
        jobs = state.jobs.values()
        found = [row for row in jobs if _same(row.get("token", ""), password)]
        return f"job-{found[0]['id']}" if found else None
    if state.is_good(password):
        return "user-1"
    for number, row in state.users.items():
        if row["username"] == name and _same(state.passwords.get(number, ""), digest(password)):
            return f"user-{number}"
    return None


def _same(a: Any, b: str) -> bool:
    return bool(a) and hmac.compare_digest(str(a).encode(), b.encode())
