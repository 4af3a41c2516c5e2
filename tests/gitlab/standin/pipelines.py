"""Pipelines: of pushes, schedules and the API, their jobs in order, what the API tells of them."""

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
from tests.gitlab.standin.routes import LIST, ROWS, Answer, Call, Refusal, endpoint, page
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
    if repositories is None or FILE not in _files(repositories, project, commit):
        return []
    row = _row(call, project, branch, commit, **about)
    try:
        jobs = _make(call, repositories, project, row, [])
    except ci.CiError as error:
        call.state.pipelines[str(row["id"])] = row
        row |= {"status": "failed", "yaml_errors": str(error)}
        return [f"{row['web_url']}: {error}"]
    return [f"View pipeline: {row['web_url']}"] if jobs else []


@endpoint(
    "POST",
    "/projects/:id/pipeline",
    auth="project",
    body={"ref": str, "variables": ROWS},
    required=("ref",),
)
def create_pipeline(call: Call) -> Answer:
    """Make a pipeline of a branch, with variables that go before all others."""
    project, branch = find(call), call.body["ref"]
    who = _who(call, project, branch)
    repositories = call.repositories
    try:
        if repositories is None:
            raise Refusal(400, {"message": {"base": ["Reference not found"]}})
        commit = tip_of(repositories, project, branch)
    except subprocess.CalledProcessError:
        raise Refusal(400, {"message": {"base": ["Reference not found"]}}) from None
    if FILE not in _files(repositories, project, commit):
        raise Refusal(400, {"message": {"base": ["Missing CI config file"]}})
    given = []
    for each in call.body.get("variables", []):
        if each.keys() - {"key", "value", "variable_type"} or "key" not in each:
            raise Refusal(400, {"error": "variables: key, value or variable_type"})
        is_file = each.get("variable_type", "env_var") == "file"
        given.append(variable(each["key"], each.get("value", ""), file=is_file, public=False))
    row = _row(call, project, branch, commit, source="api", user=who)
    try:
        jobs = _make(call, repositories, project, row, given)
    except ci.CiError as error:
        raise Refusal(400, {"message": {"base": [str(error)]}}) from error
    if not jobs:
        raise Refusal(
            400, {"message": {"base": ["Pipeline will not run for the selected trigger"]}}
        )
    return Answer(201, row)


def _who(call: Call, project: Row, branch: str) -> str:
    """Return the account that asks for a pipeline of a branch, if it may push there."""
    mine = call.state.project_tokens.get(call.headers.get("PRIVATE-TOKEN", ""))
    if mine is None:
        return "1"
    rule = call.state.branches.get(f"{project['id']}/{branch}")
    least = int(rule["push_access_levels"][0]["access_level"] or 61) if rule else 30
    if mine["project"] != project["id"]:
        raise Refusal(404, {"message": "404 Project Not Found"})
    if mine["access_level"] < least:
        text = f"You do not have sufficient permission to run a pipeline on '{branch}'."
        raise Refusal(400, {"message": {"base": [text]}})
    return str(mine["user_id"])


def _row(call: Call, project: Row, branch: str, commit: str, **about: str) -> Row:
    """Return a pipeline of a commit; `about` as in `start`."""
    number = call.state.new_id()
    return {
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


def _make(
    call: Call, repositories: Repositories, project: Row, row: Row, given: list[Row]
) -> list[Row]:
    """Keep a pipeline with its variables and its jobs, if it has any; return them.

    Raises:
        CiError: its configuration has what the stand-in does not know.
    """
    commit, before = row["sha"], row["before_sha"]
    changed = None if before == NONE else _changed(repositories, project, before, commit)
    below = of_pipeline(call.state, call.url, project, row)
    above = [*of_project(call.state, project, row["ref"]), *given]
    jobs = ci.jobs(
        lambda path: _show(repositories, project, f"{commit}:{path}"),
        _files(repositories, project, commit),
        changed,
        {each["key"]: each["value"] for each in (*below, *above)},
        lambda ref: _changed_since(repositories, project, ref, commit),
    )
    if jobs:
        call.state.pipelines[str(row["id"])] = row
        for each in jobs:
            _add(call.state, project, row, each, (below, above))
        advance(call.state, row)
    return jobs


def _add(
    state: State, project: Row, pipeline: Row, job: Row, around: tuple[list[Row], list[Row]]
) -> None:
    """Keep a job. Of variables with one name the last counts: predefined ones, those of the
    configuration, of jobs before, of the instance and the project, of the pipeline.
    """
    below, above = around
    number = state.new_id()
    own = [variable(key, value) for key, value in job["variables"].items()]
    lowest = [*below, *of_job(number, job["name"], job["stage"]), *own]
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
        "variables": [*lowest, *above],
        "lowest": len(lowest),
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
            place = row["lowest"]
            found = [variable(k, v) for each in made for k, v in each.items()]
            row["variables"][place:place] = found
        elif states & {"failed", "skipped", "canceled"}:
            row["status"] = "skipped"
    states = {row["status"] for row in jobs}
    if states <= set(OVER):
        worst = [name for name in ("canceled", "failed", "skipped", "success") if name in states]
        pipeline["status"] = "failed" if "failed" in states else worst[0]
    else:
        begun = states & {"running", "canceling", *OVER}
        pipeline["status"] = "running" if begun else "pending"


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
    """Cancel what has not ended; a runner that can lets the job it has end by itself."""
    row = _pipeline(call)
    for job in call.state.jobs.values():
        if job.get("pipeline") == row["id"] and job["status"] not in OVER:
            waits = job["status"] == "running" and job.get("cancel_gracefully")
            job["status"] = "canceling" if waits else "canceled"
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
    if row["status"] == "failed":
        shown["failure_reason"] = row.get("failure_reason", "unknown_failure")
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
