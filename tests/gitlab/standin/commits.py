"""Commits: which branches have one, a new one on top of another, the configuration in one."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from tests.gitlab.standin import ci
from tests.gitlab.standin.internal import NONE
from tests.gitlab.standin.pipelines import pushed
from tests.gitlab.standin.projects import find
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.routes import LIST, ROWS, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row

SKIPS = ("[skip ci]", "[ci skip]")
ACTION = {"action", "file_path", "previous_path", "content", "encoding", "last_commit_id"}


def _repository(call: Call) -> tuple[Repositories, str, Row]:
    """Return the repositories, the place of that of the request, and its project."""
    project = find(call)
    if call.repositories is None:
        raise Refusal(404, {"message": "404 Not found"})
    return call.repositories, str(call.repositories.at(project["path_with_namespace"])), project


@endpoint("GET", "/projects/:id/repository/commits/:sha/refs", query={**LIST, "type": str})
def refs(call: Call) -> Answer:
    """Return the branches and tags that have the commit."""
    repositories, place, _ = _repository(call)
    found = []
    wanted = call.query.get("type", "all")
    for kind, folder in (("branch", "heads"), ("tag", "tags")):
        listed = ("for-each-ref", "--format=%(refname:lstrip=2)", f"--contains={call.ids[1]}")
        try:
            names = repositories.git("-C", place, *listed, f"refs/{folder}").decode().splitlines()
        except subprocess.CalledProcessError:
            raise Refusal(404, {"message": "404 Commit Not Found"}) from None
        if wanted in ("all", kind):
            found += [{"type": kind, "name": name} for name in names]
    return page(call, found)


@endpoint(
    "POST",
    "/projects/:id/repository/commits",
    body={
        **dict.fromkeys(["branch", "commit_message", "start_branch", "start_sha"], str),
        **dict.fromkeys(["author_email", "author_name"], str),
        "actions": ROWS,
        "force": bool,
        "stats": bool,
    },
    required=("branch", "commit_message", "actions"),
)
def commit(call: Call) -> Answer:
    """Make a branch with one commit on top of another; of actions, `update` alone is known."""
    repositories, place, project = _repository(call)
    branch, start = call.body["branch"], call.body.get("start_sha")
    if start is None:
        raise Refusal(400, {"error": "the stand-in knows commits of new branches: start_sha"})
    if _is_there(repositories, place, f"refs/heads/{branch}"):
        raise Refusal(400, {"message": f"A branch called '{branch}' already exists."})
    if not _is_there(repositories, place, f"{start}^{{commit}}"):
        raise Refusal(
            400, {"message": "You can only create or edit files when you are on a branch"}
        )
    message = call.body["commit_message"]
    lines = [f"commit refs/heads/{branch}", "committer Administrator <root@localhost> now"]
    lines += [_data(message), f"from {start}"]
    for each in call.body["actions"]:
        if each.get("action") != "update" or each.keys() - ACTION:
            raise Refusal(400, {"error": f"actions: the stand-in knows no such: {each}"})
        if not _is_there(repositories, place, f"{start}:{each['file_path']}"):
            raise Refusal(400, {"message": "A file with this name doesn't exist"})
        lines += [f"M 100644 inline {each['file_path']}", _data(each["content"])]
    stream = "\n".join([*lines, ""]).encode()
    fast = ("fast-import", "--quiet", "--date-format=now")
    repositories.git("-C", place, *fast, given=stream)
    new = repositories.git("-C", place, "rev-parse", f"refs/heads/{branch}").decode().strip()
    if not any(word in message.lower() for word in SKIPS):
        pushed(call, project, "user-1", f"{NONE} {new} refs/heads/{branch}")
    return Answer(201, {"id": new, "short_id": new[:8], "message": message, "parent_ids": [start]})


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}"


def _is_there(repositories: Repositories, place: str, what: str) -> bool:
    try:
        repositories.git("-C", place, "cat-file", "-e", what)
    except subprocess.CalledProcessError:
        return False
    return True


@endpoint(
    "GET",
    "/projects/:id/ci/lint",
    query=dict.fromkeys(["content_ref", "dry_run", "dry_run_ref", "include_jobs"], str),
)
def lint(call: Call) -> Answer:
    """Return the configuration of a commit with all that it includes and extends."""
    repositories, place, project = _repository(call)
    ref = call.query.get("content_ref", project["default_branch"] or "main")
    if not _is_there(repositories, place, f"{ref}^{{commit}}"):
        raise Refusal(404, {"message": "404 Commit Not Found"})
    listed = repositories.git("-C", place, "ls-tree", "-r", "--name-only", "-z", ref)

    def read(path: str) -> str:
        return repositories.git("-C", place, "show", f"{ref}:{path}").decode()

    told: dict[str, Any] = {"valid": True, "merged_yaml": None, "errors": [], "warnings": []}
    try:
        merged = ci.merged(read, listed.decode().split("\0"), {})
    except ci.CiError as error:
        return Answer(200, {**told, "valid": False, "errors": [str(error)]})
    # Keys are Ruby's symbols, which begin with a colon.
    return Answer(200, {**told, "merged_yaml": yaml.safe_dump(_symbols(merged), sort_keys=False)})


def _symbols(value: Any) -> Any:
    if isinstance(value, dict):
        return {f":{key}": _symbols(each) for key, each in value.items()}
    return [_symbols(each) for each in value] if isinstance(value, list) else value
