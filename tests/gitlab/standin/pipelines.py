"""Pipelines: made by pushes and schedules, their jobs in order, and what the API tells of them."""

from __future__ import annotations

import base64
import io
import subprocess
import zipfile
from typing import Any

from tests.gitlab.standin import ci, merge_requests
from tests.gitlab.standin.internal import NONE, find_project
from tests.gitlab.standin.projects import find
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row, State
from tests.gitlab.standin.variables import (
    is_protected,
    of_job,
    of_pipeline,
    of_project,
    variable,
)

FILE = ".gitlab-ci.yml"
OVER = ("success", "failed", "canceled", "skipped")


@endpoint(
    "POST",
    "/internal/post_receive",
    auth="shell",
    body={"who": str, "project": str, "changes": list, "options": list},
    required=("who", "project", "changes"),
)
def post_receive(call: Call) -> Answer:
    """Take note of what was pushed: the first branch is the default one, and pipelines start."""
    row = find_project(call.state, call.body["project"])
    if row is None:
        raise Refusal(404, {"message": "404 Project Not Found"})
    options = call.body.get("options", [])
    messages = []
    for change in call.body["changes"]:
        _, new, ref = change.split()[:3]
        if new != NONE and ref.startswith("refs/heads/"):
            branch = ref.removeprefix("refs/heads/")
            row["empty_repo"] = False
            row["default_branch"] = row["default_branch"] or branch
            messages += merge_requests.pushed(call, row, branch, new, options)
    given = [] if "ci.skip" in options else call.body["changes"]
    messages += [line for each in given for line in pushed(call, row, call.body["who"], each)]
    return Answer(200, {"messages": messages})


def pushed(call: Call, project: Row, who: str, change: str) -> list[str]:
    """Make the pipeline of a push, if its commit asks for one; return what who pushed is told."""
    before, commit, ref = change.split()[:3]
    branch = ref.removeprefix("refs/heads/")
    kind, _, user = who.partition("-")
    # Jobs push without end, were it otherwise.
    if commit == NONE or branch == ref or kind == "job":
        return []
    return start(call, project, branch, commit, source="push", before_sha=before, user=user)


def start(call: Call, project: Row, branch: str, commit: str, **about: str) -> list[str]:
    """Make a pipeline, if the commit asks for one; return what who started it is told.

    `about` has `source`, `user` (the number of an account), what a schedule is called in
    `schedule`, and in `before_sha` the commit of the branch before a push.
    """
    repositories = call.repositories
    if repositories is None:
        return []
    files = _files(repositories, project, commit)
    if FILE not in files:
        return []
    number = call.state.new_id()
    row: Row = {
        "id": number,
        "project_id": project["id"],
        "ref": branch,
        "sha": commit,
        "before_sha": NONE,
        "status": "created",
        "web_url": f"{call.url}/{project['path_with_namespace']}/-/pipelines/{number}",
        "yaml_errors": None,
        **about,
    }
    before = row["before_sha"]
    changed = None if before == NONE else _changed(repositories, project, before, commit)
    variables = of_project(call.state, project, branch)
    variables += of_pipeline(call.state, call.url, project, row)
    known = {each["key"]: each["value"] for each in variables}
    call.state.pipelines[str(number)] = row
    try:
        jobs = ci.jobs(
            lambda path: _show(repositories, project, f"{commit}:{path}"),
            files,
            changed,
            known,
            lambda ref: _changed_since(repositories, project, ref, commit),
        )
    except ci.CiError as error:
        row |= {"status": "failed", "yaml_errors": str(error)}
        return [f"{row['web_url']}: {error}"]
    if not jobs:
        del call.state.pipelines[str(number)]
        return []
    for each in jobs:
        _add(call.state, project, row, each, variables)
    advance(call.state, row)
    return [f"View pipeline: {row['web_url']}"]


def _add(state: State, project: Row, pipeline: Row, job: Row, variables: list[Row]) -> None:
    number = state.new_id()
    own = [variable(key, value) for key, value in job["variables"].items()]
    state.jobs[str(number)] = {
        **job,
        "id": number,
        "pipeline": pipeline["id"],
        "project": project["id"],
        "path": project["path_with_namespace"],
        "ref": pipeline["ref"],
        "sha": pipeline["sha"],
        "user": pipeline["user"],
        "status": "created",
        "trace": "",
        "protected": is_protected(state, project, pipeline["ref"]),
        "variables": [*variables, *own, *of_job(number, job["name"], job["stage"])],
        "dotenv": {},
    }


def advance(state: State, pipeline: Row) -> None:
    """Have those jobs wait for a runner whose needs are met, and say how the pipeline is."""
    jobs = [row for row in state.jobs.values() if row.get("pipeline") == pipeline["id"]]
    by_name = {row["name"]: row for row in jobs}
    for row in jobs:
        if row["status"] != "created":
            continue
        states = {by_name[need]["status"] for need in row["needs"]}
        if states <= {"success"}:
            row["status"] = "pending"
            made = [by_name[need]["dotenv"] for need in row["needs"]]
            row["variables"] += [variable(k, v) for each in made for k, v in each.items()]
        elif states & {"failed", "skipped", "canceled"}:
            row["status"] = "skipped"
    states = {row["status"] for row in jobs}
    if states <= set(OVER):
        worst = [name for name in ("canceled", "failed", "skipped", "success") if name in states]
        pipeline["status"] = "failed" if "failed" in states else worst[0]
    else:
        pipeline["status"] = "running" if states & {"running", *OVER} else "pending"


def finished(state: State, job: Row) -> None:
    """Go on with the pipeline of a job."""
    pipeline = state.pipelines.get(str(job.get("pipeline")))
    if pipeline is not None:
        advance(state, pipeline)


def tip_of(repositories: Repositories, project: Row, branch: str) -> str:
    """Return the commit of a branch."""
    return _git(repositories, project, "rev-parse", f"refs/heads/{branch}").strip()


def _files(repositories: Repositories, project: Row, commit: str) -> list[str]:
    return _git(repositories, project, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")


def _changed(repositories: Repositories, project: Row, *commits: str) -> list[str]:
    return _git(repositories, project, "diff", "--name-only", "-z", *commits).split("\0")


def _changed_since(repositories: Repositories, project: Row, ref: str, commit: str) -> list[str]:
    try:
        return _changed(repositories, project, f"{ref}...{commit}")
    except subprocess.CalledProcessError:
        raise ci.CiError(f"rules:changes:compare_to is not a valid ref: {ref}") from None


def _show(repositories: Repositories, project: Row, what: str) -> str:
    return _git(repositories, project, "show", what)


def _git(repositories: Repositories, project: Row, *words: str) -> str:
    place = str(repositories.at(project["path_with_namespace"]))
    return repositories.git("-C", place, *words).decode()


def _pipeline(call: Call) -> Row:
    row = call.state.pipelines.get(call.ids[1])
    if row is None or row["project_id"] != find(call)["id"]:
        raise Refusal(404, {"message": "404 Not found"})
    return row


@endpoint(
    "GET",
    "/projects/:id/pipelines",
    query={**LIST, **dict.fromkeys(["sha", "ref", "status", "source"], str)},
)
def pipelines(call: Call) -> Answer:
    number = find(call)["id"]
    rows = [row for row in call.state.pipelines.values() if row["project_id"] == number]
    for name in ("sha", "ref", "status", "source"):
        if name in call.query:
            rows = [row for row in rows if row[name] == call.query[name]]
    return page(call, sorted(rows, key=lambda row: -int(row["id"])))


@endpoint("GET", "/projects/:id/pipelines/:pipeline")
def pipeline(call: Call) -> Answer:
    return Answer(200, _pipeline(call))


@endpoint("DELETE", "/projects/:id/pipelines/:pipeline")
def delete_pipeline(call: Call) -> Answer:
    number = _pipeline(call)["id"]
    jobs = call.state.jobs
    for job in [key for key, row in jobs.items() if row.get("pipeline") == number]:
        del jobs[job]
    del call.state.pipelines[str(number)]
    return Answer(204)


@endpoint("POST", "/projects/:id/pipelines/:pipeline/cancel")
def cancel_pipeline(call: Call) -> Answer:
    row = _pipeline(call)
    for job in call.state.jobs.values():
        if job.get("pipeline") == row["id"] and job["status"] not in OVER:
            job["status"] = "canceled"
    advance(call.state, row)
    return Answer(200, row)


@endpoint(
    "GET",
    "/projects/:id/pipelines/:pipeline/jobs",
    query={**LIST, "scope": str, "include_retried": str},
)
def jobs_of(call: Call) -> Answer:
    number = _pipeline(call)["id"]
    rows = [row for row in call.state.jobs.values() if row.get("pipeline") == number]
    return page(call, [_shown(call, row) for row in rows])


def _shown(call: Call, row: Row) -> Row:
    shown: dict[str, Any] = {key: row[key] for key in ("id", "name", "stage", "status", "ref")}
    return {**shown, "web_url": f"{call.url}/{row['path']}/-/jobs/{row['id']}"}


@endpoint("GET", "/projects/:id/jobs/:job/trace")
def trace_of(call: Call) -> Answer:
    row = call.state.jobs.get(call.ids[1])
    if row is None or row.get("project") != find(call)["id"]:
        raise Refusal(404, {"message": "404 Not found"})
    return Answer(200, row["trace"].encode())


@endpoint("GET", "/projects/:id/jobs/:job/artifacts/:path")
def artifact_of(call: Call) -> Answer:
    """Return a file of a job's archive."""
    row = call.state.jobs.get(call.ids[1])
    if row is None or row.get("project") != find(call)["id"] or not row.get("archive"):
        raise Refusal(404, {"message": "404 Not found"})
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(row["archive"]))) as archive:
        if call.ids[2] not in archive.namelist():
            raise Refusal(404, {"message": "404 Not found"})
        return Answer(200, archive.read(call.ids[2]))


@endpoint("GET", "/projects/:id/repository/branches", query={**LIST, "search": str})
def branches(call: Call) -> Answer:
    project = find(call)
    if call.repositories is None:
        return page(call, [])
    listed = ("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
    names = _git(call.repositories, project, *listed).splitlines()
    return page(call, [{"name": name, "merged": False} for name in names])


@endpoint("DELETE", "/projects/:id/repository/branches/:branch")
def delete_branch(call: Call) -> Answer:
    project, branch = find(call), call.ids[1]
    if f"{project['id']}/{branch}" in call.state.branches:
        raise Refusal(400, {"message": "Protected branch cannot be removed"})
    if call.repositories is None:
        raise Refusal(404, {"message": "404 Branch Not Found"})
    try:
        _git(call.repositories, project, "show-ref", "--verify", f"refs/heads/{branch}")
    except subprocess.CalledProcessError:
        raise Refusal(404, {"message": "404 Branch Not Found"}) from None
    _git(call.repositories, project, "update-ref", "-d", f"refs/heads/{branch}")
    return Answer(204)
