"""Pipelines: of pushes and of the API, their jobs in their order, what the API tells of them."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.gitlab.standin import ci
from tests.gitlab.standin.internal import NONE, find_project
from tests.gitlab.standin.projects import find
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.routes import LIST, ROWS, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row, State

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
    for change in call.body["changes"]:
        _, new, ref = change.split()[:3]
        if new != NONE and ref.startswith("refs/heads/"):
            row["empty_repo"] = False
            row["default_branch"] = row["default_branch"] or ref.removeprefix("refs/heads/")
    # What a job pushes starts none.
    by_job = call.body["who"].startswith("job-")
    skipped = by_job or "ci.skip" in call.body.get("options", [])
    given = [] if skipped else call.body["changes"]
    messages = [line for each in given for line in pushed(call, row, call.body["who"], each)]
    return Answer(200, {"messages": messages})


def pushed(call: Call, project: Row, who: str, change: str) -> list[str]:
    """Make the pipeline of a push, if its commit asks for one; return what who pushed is told."""
    before, commit, ref = change.split()[:3]
    branch = ref.removeprefix("refs/heads/")
    if call.repositories is None or commit == NONE or branch == ref:
        return []
    if FILE not in _files(call.repositories, project, commit):
        return []
    changed = None if before == NONE else _changed(call.repositories, project, before, commit)
    row = _row(call, project, (branch, commit, "push"))
    try:
        jobs = _make(call, project, row, who, changed)
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
    try:
        if call.repositories is None:
            raise Refusal(400, {"message": {"base": ["Reference not found"]}})
        ref = f"refs/heads/{branch}"
        commit = _git(call.repositories, project, "rev-parse", "--verify", ref).strip()
    except subprocess.CalledProcessError:
        raise Refusal(400, {"message": {"base": ["Reference not found"]}}) from None
    if FILE not in _files(call.repositories, project, commit):
        raise Refusal(400, {"message": {"base": ["Missing CI config file"]}})
    given = []
    for each in call.body.get("variables", []):
        if each.keys() - {"key", "value", "variable_type"} or "key" not in each:
            raise Refusal(400, {"error": "variables: key, value or variable_type"})
        is_file = each.get("variable_type", "env_var") == "file"
        given.append(_variable(each["key"], each.get("value", ""), file=is_file, public=False))
    row = _row(call, project, (branch, commit, "api"))
    try:
        jobs = _make(call, project, row, who, None, given)
    except ci.CiError as error:
        raise Refusal(400, {"message": {"base": [str(error)]}}) from error
    if not jobs:
        raise Refusal(
            400, {"message": {"base": ["Pipeline will not run for the selected trigger"]}}
        )
    return Answer(201, row)


def _who(call: Call, project: Row, branch: str) -> str:
    """Return whose token asks for a pipeline of a branch, if they may push there."""
    mine = call.state.project_tokens.get(call.headers.get("PRIVATE-TOKEN", ""))
    if mine is None:
        return "user-1"
    rule = call.state.branches.get(f"{project['id']}/{branch}")
    least = int(rule["push_access_levels"][0]["access_level"] or 61) if rule else 30
    if mine["project"] != project["id"]:
        raise Refusal(404, {"message": "404 Project Not Found"})
    if mine["access_level"] < least:
        text = f"You do not have sufficient permission to run a pipeline on '{branch}'."
        raise Refusal(400, {"message": {"base": [text]}})
    return f"user-{mine['user_id']}"


def _row(call: Call, project: Row, of: tuple[str, str, str]) -> Row:
    """Return a pipeline of a branch, a commit and a source."""
    number = call.state.new_id()
    return {
        "id": number,
        "project_id": project["id"],
        "ref": of[0],
        "sha": of[1],
        "source": of[2],
        "status": "created",
        "web_url": f"{call.url}/{project['path_with_namespace']}/-/pipelines/{number}",
        "yaml_errors": None,
    }


def _make(
    call: Call,
    project: Row,
    row: Row,
    who: str,
    changed: list[str] | None,
    given: list[Row] | None = None,
) -> list[Row]:
    """Keep a pipeline and its jobs, if it has any; return them. Raises CiError."""
    repositories = call.repositories
    assert repositories is not None
    below = _predefined(call, project, row, who)
    above = [*_variables(call.state, project, row), *(given or [])]
    known = {each["key"]: each["value"] for each in (*below, *above)}
    jobs = ci.jobs(
        lambda path: _show(repositories, project, f"{row['sha']}:{path}"),
        _files(repositories, project, row["sha"]),
        changed,
        known,
    )
    if jobs:
        call.state.pipelines[str(row["id"])] = row
        for each in jobs:
            _add(call.state, project, row, {**each, "user": who}, (below, above))
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
    own = [_variable(key, value) for key, value in job["variables"].items()]
    of_job = {"CI_JOB_ID": number, "CI_JOB_NAME": job["name"], "CI_JOB_STAGE": job["stage"]}
    lowest = [*below, *(_variable(k, str(v)) for k, v in of_job.items()), *own]
    state.jobs[str(number)] = {
        **job,
        "id": number,
        "pipeline": pipeline["id"],
        "project": project["id"],
        "path": project["path_with_namespace"],
        "ref": pipeline["ref"],
        "sha": pipeline["sha"],
        "status": "created",
        "trace": "",
        "protected": f"{project['id']}/{pipeline['ref']}" in state.branches,
        "variables": [*lowest, *above],
        "lowest": len(lowest),
        "dotenv": {},
    }


def _variables(state: State, project: Row, pipeline: Row) -> list[Row]:
    protected = f"{project['id']}/{pipeline['ref']}" in state.branches
    found = {}
    for of in ("instance", str(project["id"])):
        for place, row in state.variables.items():
            if place.startswith(f"{of}/") and (protected or not row["protected"]):
                found[row["key"]] = _variable(
                    row["key"],
                    row["value"],
                    masked=row["masked"],
                    file=row["variable_type"] == "file",
                    public=False,
                    raw=row["raw"],
                )
    return list(found.values())


def _variable(key: str, value: str, **given: bool) -> Row:
    return {
        "key": key,
        "value": value,
        "public": True,
        "masked": False,
        "file": False,
        "raw": False,
        **given,
    }


def _predefined(call: Call, project: Row, pipeline: Row, who: str) -> list[Row]:
    account = call.state.users.get(who.removeprefix("user-"), {})
    url = f"{call.url}/{project['path_with_namespace']}"
    values = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_COMMIT_BRANCH": pipeline["ref"],
        "CI_COMMIT_REF_NAME": pipeline["ref"],
        "CI_COMMIT_SHA": pipeline["sha"],
        "CI_COMMIT_SHORT_SHA": pipeline["sha"][:8],
        "CI_DEFAULT_BRANCH": project["default_branch"] or "main",
        "CI_PIPELINE_ID": pipeline["id"],
        "CI_PIPELINE_SOURCE": pipeline["source"],
        "CI_PIPELINE_URL": pipeline["web_url"],
        "CI_PROJECT_ID": project["id"],
        "CI_PROJECT_NAME": project["path"],
        "CI_PROJECT_PATH": project["path_with_namespace"],
        "CI_PROJECT_URL": url,
        "CI_SERVER_URL": call.url,
        "GITLAB_USER_LOGIN": account.get("username", ""),
    }
    return [_variable(key, str(value)) for key, value in values.items()]


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
            found = [_variable(k, v) for each in made for k, v in each.items()]
            row["variables"][place:place] = found
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


def _files(repositories: Repositories, project: Row, commit: str) -> list[str]:
    return _git(repositories, project, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")


def _changed(repositories: Repositories, project: Row, old: str, new: str) -> list[str]:
    return _git(repositories, project, "diff", "--name-only", "-z", old, new).split("\0")


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
    if row["status"] == "failed":
        shown["failure_reason"] = row.get("failure_reason", "unknown_failure")
    return {**shown, "web_url": f"{call.url}/{row['path']}/-/jobs/{row['id']}"}


@endpoint("GET", "/projects/:id/jobs/:job/trace")
def trace_of(call: Call) -> Answer:
    row = call.state.jobs.get(call.ids[1])
    if row is None or row.get("project") != find(call)["id"]:
        raise Refusal(404, {"message": "404 Not found"})
    return Answer(200, row["trace"].encode())


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
