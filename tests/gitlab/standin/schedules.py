"""Schedules of pipelines."""

from __future__ import annotations

import re
from typing import Any

from tests.gitlab.standin.pipelines import start, tip_of
from tests.gitlab.standin.projects import find
from tests.gitlab.standin.routes import LIST, Answer, Call, Refusal, endpoint, page
from tests.gitlab.standin.state import Row

CRON = re.compile(r"\S+( \S+){4}")
SCHEDULE: dict[str, Any] = {
    "active": bool,
    "cron": str,
    "cron_timezone": str,
    "description": str,
    "ref": str,
}


@endpoint(
    "GET",
    "/projects/:id/pipeline_schedules",
    query={**LIST, "scope": str},
)
def schedules(call: Call) -> Answer:
    number = find(call)["id"]
    return page(call, [row for row in call.state.schedules.values() if row["of"] == number])


@endpoint(
    "POST",
    "/projects/:id/pipeline_schedules",
    body=SCHEDULE,
    required=("description", "ref", "cron"),
)
def create_schedule(call: Call) -> Answer:
    project = find(call)
    row = {
        "id": call.state.new_id(),
        "of": project["id"],
        "active": True,
        "cron_timezone": "UTC",
        **call.body,
    }
    _check(project, row)
    call.state.schedules[str(row["id"])] = row
    return Answer(201, row)


@endpoint("PUT", "/projects/:id/pipeline_schedules/:number", body=SCHEDULE)
def update_schedule(call: Call) -> Answer:
    row = _schedule(call)
    new = {**row, **call.body}
    _check(find(call), new)
    row |= new
    return Answer(200, row)


@endpoint("DELETE", "/projects/:id/pipeline_schedules/:number")
def delete_schedule(call: Call) -> Answer:
    del call.state.schedules[str(_schedule(call)["id"])]
    return Answer(204)


@endpoint("POST", "/projects/:id/pipeline_schedules/:number/play")
def play(call: Call) -> Answer:
    """Start its pipeline now, as who asks: nothing here waits for the time that cron names."""
    row, project = _schedule(call), find(call)
    branch = row["ref"].removeprefix("refs/heads/")
    if call.repositories is not None:
        about = {"source": "schedule", "user": "1", "schedule": row["description"]}
        start(call, project, branch, tip_of(call.repositories, project, branch), **about)
    return Answer(201, {"message": "201 Created"})


def _schedule(call: Call) -> Row:
    row = call.state.schedules.get(call.ids[1])
    if row is None or row["of"] != find(call)["id"]:
        raise Refusal(404, {"message": "404 Pipeline Schedule Not Found"})
    return row


def _check(project: Row, row: Row) -> None:
    if not CRON.fullmatch(row["cron"]):
        raise Refusal(400, {"message": {"cron": ["syntax is invalid"]}})
    # Short names of branches are refused where they could be tags, too.
    if project["empty_repo"] or not row["ref"].startswith(("refs/heads/", "refs/tags/")):
        raise Refusal(400, {"message": {"ref": ["is ambiguous"]}})
