"""Merge requests: opened by an option of a push, merged once their commits are where they belong.

How they are asked for by a push: GitLab's documentation, topics/git/commit (push options).
"""

from __future__ import annotations

import subprocess

from tests.gitlab.standin.projects import find
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row

CREATE, TARGET = "merge_request.create", "merge_request.target="


def pushed(call: Call, project: Row, branch: str, commit: str, options: list[str]) -> list[str]:
    """Note what a push of a branch means for merge requests; return what who pushed is told."""
    for row in call.state.merge_requests.values():
        if row["project_id"] != project["id"] or row["state"] != "opened":
            continue
        if row["source_branch"] == branch:
            row["sha"] = commit
        elif row["target_branch"] == branch and _has(
            call.repositories, project, commit, row["sha"]
        ):
            row["state"] = "merged"
    if CREATE not in options:
        return []
    targets = [each.removeprefix(TARGET) for each in options if each.startswith(TARGET)]
    mine = [r for r in call.state.merge_requests.values() if r["project_id"] == project["id"]]
    number = len(mine) + 1
    url = f"{call.url}/{project['path_with_namespace']}/-/merge_requests/{number}"
    identity = call.state.new_id()
    call.state.merge_requests[str(identity)] = {
        "id": identity,
        "iid": number,
        "project_id": project["id"],
        "source_branch": branch,
        "target_branch": targets[0] if targets else project["default_branch"],
        "sha": commit,
        "state": "opened",
        "web_url": url,
    }
    return [f"View merge request for {branch}:", f"  {url}"]


def _has(repositories: Repositories | None, project: Row, commit: str, other: str) -> bool:
    if repositories is None:
        return False
    place = str(repositories.at(project["path_with_namespace"]))
    try:
        repositories.git("-C", place, "merge-base", "--is-ancestor", other, commit)
    except subprocess.CalledProcessError:
        return False
    return True


@endpoint(
    "GET",
    "/projects/:id/merge_requests",
    query={**LIST, **dict.fromkeys(["state", "source_branch", "target_branch"], str)},
)
def merge_requests(call: Call) -> Answer:
    number = find(call)["id"]
    rows = [row for row in call.state.merge_requests.values() if row["project_id"] == number]
    for name in ("state", "source_branch", "target_branch"):
        if name in call.query:
            rows = [row for row in rows if row[name] == call.query[name]]
    return page(call, rows)


@endpoint("GET", "/projects/:id/merge_requests/:iid")
def merge_request(call: Call) -> Answer:
    """Return one, with the pipeline of its newest commit: its reports are what the page shows."""
    number = find(call)["id"]
    for row in call.state.merge_requests.values():
        if (row["project_id"], str(row["iid"])) == (number, call.ids[1]):
            found = [each for each in call.state.pipelines.values() if each["sha"] == row["sha"]]
            return Answer(200, {**row, "head_pipeline": found[-1] if found else None})
    raise Refusal(404, {"message": "404 Not found"})
