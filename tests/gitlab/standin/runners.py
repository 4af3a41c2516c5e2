"""Runners, and the API that runners themselves use: ask for a job, report, hand in artifacts."""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
from typing import Any

from tests.gitlab.standin.ci import REPORTS
from tests.gitlab.standin.pipelines import finished
from tests.gitlab.standin.projects import find
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row, State, token
from tests.gitlab.standin.variables import of_token, repository_url

TYPES = ("instance_type", "group_type", "project_type")
RUNNER: dict[str, Any] = {
    "access_level": ("not_protected", "ref_protected"),
    "description": str,
    "locked": bool,
    "maintenance_note": str,
    "maximum_timeout": int,
    "paused": bool,
    "run_untagged": bool,
    "tag_list": list,
}
IN_LISTS = ("id", "description", "paused", "runner_type", "is_shared", "online", "status")
# What a runner tells of itself.
ABOUT: dict[str, Any] = {
    "info": dict,
    "labels": dict,
    "last_update": str,
    "session": dict,
    "system_id": str,
    "token": str,
}
STATES = ("running", "success", "failed")
TIMEOUT_S = 3600
# Of jobs that a runner has.
TAKEN = ("running", "canceling")
FAILURES = (
    *("script_failure", "runner_system_failure", "job_execution_timeout", "unknown_failure"),
    "image_pull_failure",
)


@endpoint(
    "GET",
    "/runners/all",
    query={**LIST, **dict.fromkeys(["type", "status", "paused", "tag_list", "scope"], str)},
)
def all_runners(call: Call) -> Answer:
    wanted = call.query.get("type")
    rows = [row for row in call.state.runners.values() if wanted in (None, row["runner_type"])]
    return page(call, [{name: row[name] for name in IN_LISTS} for row in rows])


@endpoint(
    "GET",
    "/projects/:id/runners",
    query={**LIST, **dict.fromkeys(["type", "status", "paused", "tag_list", "scope"], str)},
)
def runners_of(call: Call) -> Answer:
    """Return those that a project may use: its own, and those of all."""
    number, wanted = find(call)["id"], call.query.get("type")
    rows = [
        row
        for row in call.state.runners.values()
        if _serves(row, number) and wanted in (None, row["runner_type"])
    ]
    return page(call, [{name: row[name] for name in IN_LISTS} for row in rows])


def _serves(row: Row, project: int) -> bool:
    return row["runner_type"] == "instance_type" or row.get("project_id") == project


@endpoint("GET", "/runners/:id")
def runner(call: Call) -> Answer:
    return Answer(200, {key: value for key, value in _runner(call).items() if key != "token"})


def _runner(call: Call) -> Row:
    if call.ids[0] not in call.state.runners:
        raise Refusal(404, {"message": "404 Runner Not Found"})
    return call.state.runners[call.ids[0]]


@endpoint(
    "POST",
    "/user/runners",
    body={**RUNNER, "runner_type": TYPES, "group_id": int, "project_id": int},
    required=("runner_type",),
)
def create_runner(call: Call) -> Answer:
    kind = call.body["runner_type"]
    if (kind == "project_type") != ("project_id" in call.body):
        raise Refusal(400, {"error": "project_id: for project_type, and for it alone"})
    number = call.state.new_id()
    new = {"description": None, "locked": False, "paused": False, "run_untagged": True}
    row = {
        **new,
        "access_level": "not_protected",
        "maximum_timeout": None,
        "tag_list": [],
        **_tags(call.body),
        "id": number,
        "is_shared": kind == "instance_type",
        "online": False,
        "status": "never_contacted",
        "token": token("glrt-"),
    }
    _check_runner(row)
    call.state.runners[str(number)] = row
    return Answer(201, {"id": number, "token": row["token"], "token_expires_at": None})


@endpoint("PUT", "/runners/:id", body=RUNNER)
def update_runner(call: Call) -> Answer:
    row = _runner(call)
    new = {**row, **_tags(call.body)}
    _check_runner(new)
    row |= new
    return runner(call)


def _tags(given: Row) -> Row:
    tags = given.get("tag_list", [])
    names = tags.split(",") if isinstance(tags, str) else tags
    return {**given, **({"tag_list": sorted(names)} if "tag_list" in given else {})}


def _check_runner(row: Row) -> None:
    if not row["run_untagged"] and not row["tag_list"]:
        text = "can not be empty when runner is not allowed to pick untagged jobs"
        raise Refusal(400, {"message": {"tags_list": [text]}})
    if row["maximum_timeout"] is not None and row["maximum_timeout"] < 600:
        raise Refusal(400, {"message": {"maximum_timeout": ["needs to be at least 10 minutes"]}})


@endpoint("DELETE", "/runners/:id")
def delete_runner(call: Call) -> Answer:
    _runner(call)
    del call.state.runners[call.ids[0]]
    return Answer(204)


@endpoint("POST", "/runners/:id/reset_authentication_token")
def reset_token(call: Call) -> Answer:
    row = _runner(call)
    row["token"] = token("glrt-")
    return Answer(201, {"token": row["token"], "token_expires_at": None})


@endpoint(
    "POST",
    "/runners/verify",
    auth="nobody",
    body={"info": dict, "token": str, "system_id": str},
    required=("token",),
)
def verify(call: Call) -> Answer:
    row = _by_token(call)
    return Answer(200, {"id": row["id"], "token": row["token"], "token_expires_at": None})


def _by_token(call: Call) -> Row:
    for row in call.state.runners.values():
        if row["token"] == call.body["token"]:
            row |= {"online": True, "status": "online"}
            return row
    raise Refusal(403, {"message": "403 Forbidden - invalid token"})


@endpoint("POST", "/jobs/request", auth="nobody", body=ABOUT, required=("token",))
def request_job(call: Call) -> Answer:
    """Give the oldest job whose tags the runner has; 204 where none waits for it."""
    runner = _by_token(call)
    for row in call.state.jobs.values():
        tags = set(row["tags"])
        fits = tags <= set(runner["tag_list"]) if tags else runner["run_untagged"]
        if runner["access_level"] == "ref_protected" and not row["protected"]:
            fits = False
        fits = fits and _serves(runner, row["project"])
        if row["status"] == "pending" and fits and not runner["paused"]:
            row |= {"status": "running", "runner": runner["id"], "token": token("glcbt-")}
            features = call.body.get("info", {}).get("features", {})
            row["cancel_gracefully"] = features.get("cancel_gracefully", False)
            finished(call.state, row)
            return Answer(201, _payload(call, row))
    return Answer(204)


def _payload(call: Call, row: Row) -> Row:
    """Return what a runner gets to run; doc/development/cicd of GitLab names the parts."""
    own = {each["key"]: each["value"] for each in row["variables"]}
    return {
        "id": row["id"],
        "token": row["token"],
        "allow_git_fetch": True,
        "job_info": {
            "id": row["id"],
            "name": row["name"],
            "stage": row["stage"],
            "project_id": row["project"],
            "project_name": row["path"].rpartition("/")[2],
        },
        "git_info": {
            "repo_url": repository_url(call.url, row),
            "ref": row["ref"],
            "sha": row["sha"],
            "ref_type": "branch",
            "refspecs": [f"+refs/heads/{row['ref']}:refs/remotes/origin/{row['ref']}"],
            "depth": int(own.get("GIT_DEPTH", "20")),
        },
        "runner_info": {"timeout": TIMEOUT_S},
        "variables": [*of_token(call.url, row), *row["variables"]],
        # Lines of before_script come in one step with those of script.
        "steps": [
            _step("script", [*row["before_script"], *row["script"]], "on_success"),
            *([_step("after_script", row["after_script"], "always")] * bool(row["after_script"])),
        ],
        "image": {"name": row["image"]},
        "services": [],
        "artifacts": _artifacts(row["artifacts"]),
        "cache": [_cache(row, each) for each in row.get("cache", [])],
        "credentials": [],
        "dependencies": _dependencies(call.state, row),
        "features": {"trace_sections": True, "failure_reasons": FAILURES},
    }


def _cache(row: Row, given: Row) -> Row:
    """Return a cache; those of protected branches are no others'."""
    key = f"{given['key']}-{'protected' if row['protected'] else 'non_protected'}"
    when = {"policy": "pull-push", "when": "on_success", "untracked": False}
    return {**when, "key": key, "paths": given["paths"], "fallback_keys": []}


def _dependencies(state: State, row: Row) -> list[Row]:
    """Return the jobs before whose archives the runner fetches, with tokens for these."""
    found = []
    for each in state.jobs.values():
        of_this = each.get("pipeline") == row.get("pipeline") and each["name"] in row["needs"]
        if of_this and each.get("archive"):
            size = len(base64.b64decode(each["archive"]))
            file = {"filename": "artifacts.zip", "size": size}
            one = {name: each[name] for name in ("id", "name", "token")}
            found.append({**one, "artifacts_file": file})
    return found


def _step(name: str, script: list[str], when: str) -> Row:
    step = {"name": name, "script": script, "when": when, "allow_failure": when == "always"}
    return {**step, "timeout": TIMEOUT_S}


def _artifacts(given: Row) -> list[Row]:
    """Return what a runner hands in after a job: an archive of `paths`, and reports one by one."""
    found = []
    if given.get("paths"):
        archive = {"name": "", "artifact_type": "archive", "artifact_format": "zip"}
        found.append({**archive, "paths": given["paths"], "when": given.get("when", "on_success")})
    for kind, path in given.get("reports", {}).items():
        paths = [path] if isinstance(path, str) else path
        report = {"name": kind, "artifact_type": kind, "artifact_format": REPORTS[kind]}
        found.append({**report, "paths": paths, "when": "always"})
    return found


@endpoint(
    "PUT",
    "/jobs/:id",
    auth="job",
    body={
        **ABOUT,
        "state": STATES,
        "exit_code": int,
        "failure_reason": FAILURES,
        "checksum": str,
        "output": dict,
    },
    required=("token", "state"),
)
def update_job(call: Call) -> Answer:
    """Take how a job is; of one that is being cancelled, only that it has ended."""
    row = call.state.jobs[call.ids[0]]
    if row["status"] not in TAKEN:
        return _over(row)
    if row["status"] == "running":
        row["status"] = call.body["state"]
    elif call.body["state"] != "running":
        row["status"] = "canceled"
    if row["status"] == "failed":
        row["failure_reason"] = call.body.get("failure_reason", "unknown_failure")
    finished(call.state, row)
    return Answer(200, None, {"Job-Status": row["status"]})


def _over(row: Row) -> Answer:
    """Return what a runner is told of a job that it does not have any more."""
    return Answer(403, {"message": "403 Forbidden"}, {"Job-Status": row["status"]})


@endpoint("PATCH", "/jobs/:id/trace", auth="job", query={"debug_trace": str}, raw=True)
def trace(call: Call) -> Answer:
    """Take a piece of the log; 416 where it does not begin at the end of what is there."""
    row = call.state.jobs[call.ids[0]]
    if row["status"] not in TAKEN:
        return _over(row)
    have = len(row["trace"].encode())
    start = int(call.headers.get("Content-Range", "0-").partition("-")[0])
    if start != have:
        return Answer(416, {"message": "416 Range Not Satisfiable"}, {"Range": f"0-{have}"})
    row["trace"] += call.raw.decode()
    end = len(row["trace"].encode())
    return Answer(202, f"0-{end}", {"Range": f"0-{end}", "Job-Status": row["status"]})


@endpoint(
    "POST",
    "/jobs/:id/artifacts",
    auth="job",
    query={"artifact_format": str, "artifact_type": str, "expire_in": str},
    raw=True,
)
def upload(call: Call) -> Answer:
    row = call.state.jobs[call.ids[0]]
    file = _file(call)
    kind = call.query.get("artifact_type", "archive")
    if kind == "dotenv":
        text = gzip.decompress(file).decode()
        row["dotenv"] |= dict(line.split("=", 1) for line in text.splitlines() if line)
    elif kind in REPORTS:
        row.setdefault("reports", {})[kind] = file.decode()
    else:
        row["archive"] = base64.b64encode(file).decode()
    return Answer(201, {"message": "201 Created"})


def _file(call: Call) -> bytes:
    """Return the part `file` of a form; raise Refusal where there is none."""
    head = f"Content-Type: {call.headers.get('Content-Type', '')}\r\n\r\n".encode()
    form = email.message_from_bytes(head + call.raw, policy=email.policy.HTTP)
    for part in form.iter_parts() if form.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) else b""
    raise Refusal(400, {"error": "file is missing"})


@endpoint("GET", "/jobs/:id/artifacts", auth="job", query={"direct_download": str})
def download(call: Call) -> Answer:
    row = call.state.jobs[call.ids[0]]
    if not row.get("archive"):
        raise Refusal(404, {"message": "404 Not found"})
    return Answer(200, base64.b64decode(row["archive"]))


def add_job(jobs: dict[str, Row], number: int, **given: Any) -> None:
    """Have a job wait for a runner; what is not given is a job that says hello."""
    new: Row = {"name": "hello", "stage": "test", "image": "base", "tags": [], "variables": []}
    new |= {"script": ["echo hello"], "before_script": [], "after_script": [], "artifacts": {}}
    new |= {"project": 1, "path": "dap/analysis", "ref": "main", "sha": "0" * 40}
    new |= {"user": "1", "protected": True, "status": "pending", "trace": "", "dotenv": {}}
    new |= {"needs": []}
    jobs[str(number)] = {"id": number, **new, **given}
