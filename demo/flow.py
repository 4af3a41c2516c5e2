"""The steps of the demo, in the order in which a user takes them."""

import os
import re
from dataclasses import dataclass
from typing import Any

from demo.access import Access, Clock, await_result
from demo.project import ADMIN, REPOSITORY, ROOT, Project


def chosen(text: str) -> Project:
    """The demo's project; for NAME@ADDRESS another one, so that two can run at once."""
    if not text:
        return Project(ROOT / "build" / "demo")
    name, _, address = text.partition("@")
    return Project(ROOT / "build" / name, name, f"{name}.test", address)


PLATFORM = chosen(os.environ.get("DAP_DEMO", ""))

ASKED = re.compile(r"pipeline #(\d+): (https://\S+)")
PIPELINE_ENDS = {"success", "failed", "canceled", "crashed"}
RUN_ENDS = {"FINISHED", "FAILED", "KILLED"}


class DemoError(Exception):
    """The demo did not come to its end; the message says where to look."""


@dataclass(frozen=True)
class Outcome:
    """What a push led to.

    Attributes:
        commit: what was pushed.
        answer: what the forge answered to the push.
        number: the pipeline's number.
        url: the pipeline's page.
        pipeline: its state at the end.
        run: the finished MLflow run.
        seconds_to_run: from the start of the push to the run's end, in seconds.
    """

    commit: str
    answer: str
    number: int
    url: str
    pipeline: dict[str, Any]
    run: dict[str, Any]
    seconds_to_run: float

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run."""
        return {tag["key"]: tag["value"] for tag in self.run["data"].get("tags", [])}

    @property
    def metrics(self) -> dict[str, float]:
        """Last values of the run's metrics."""
        return {metric["key"]: metric["value"] for metric in self.run["data"].get("metrics", [])}


def deploy(project: Project, clock: Clock) -> None:
    """Scaffold the project and deploy the platform on this machine."""
    clock.say(f"making a project from the template in {project.path}")
    project.scaffold()
    project.commit("The demo's project")
    clock.say("make deploy")
    project.make("deploy")


def admin(project: Project) -> Access:
    """Reach the platform as its first user."""
    return Access(project.domain, ADMIN, project.password)


def push(project: Project) -> tuple[str, str, int, str]:
    """Commit and push; the commit, the forge's answer, the pipeline's number and page.

    Raises:
        DemoError: the push started no pipeline.
    """
    commit = project.commit("A run of the example")
    answer = project.push()
    asked = ASKED.search(answer)
    if asked is None:
        raise DemoError(f"the push of {commit[:12]} started no pipeline; the forge said:\n{answer}")
    return commit, answer, int(asked[1]), asked[2]


def push_and_wait(
    project: Project, clock: Clock, timeout_s: float = 300, access: Access | None = None
) -> Outcome:
    """Push the example; wait for the end of its pipeline and for its MLflow run.

    Args:
        project: what is pushed.
        clock: tells how it goes.
        timeout_s: how long to wait, in seconds.
        access: to its platform, where names do not lead there by themselves.

    Raises:
        DemoError: the pipeline or the run failed, or did not end in time.
    """
    access = access or admin(project)
    clock.say("git push")
    pushed = clock.seconds
    commit, answer, number, url = push(project)
    clock.say(f"waiting for pipeline #{number} of commit {commit[:12]}")
    run: dict[str, Any] = {}
    run_seconds = 0.0
    shown = ""

    def ended() -> dict[str, Any] | None:
        nonlocal run, run_seconds, shown
        if run.get("info", {}).get("status") not in RUN_ENDS:
            run = access.run_of_commit(REPOSITORY, commit) or run
            run_seconds = clock.seconds - pushed
        response = access.pipeline(REPOSITORY, number)
        response.raise_for_status()
        pipeline: dict[str, Any] = response.json()
        jobs = ", ".join(f"{job['name']} {job['status']}" for job in pipeline["jobs"])
        state = f"pipeline {pipeline['status']}" + (f" ({jobs})" if jobs else "")
        if run:
            state += f"; MLflow run {run['info']['status']}"
        if state != shown:
            clock.say(f"  {state}")
            shown = state
        return pipeline if pipeline["status"] in PIPELINE_ENDS else None

    try:
        pipeline = await_result(f"pipeline #{number}", ended, timeout_s)
    except TimeoutError as error:
        raise DemoError(f"{error}; its page: {url}") from error
    if pipeline["status"] != "success":
        raise DemoError(f"pipeline #{number}: {pipeline['status']}; its log: {url}")
    if run.get("info", {}).get("status") != "FINISHED":
        raise DemoError(f"pipeline #{number} left no finished MLflow run; its log: {url}")
    return Outcome(commit, answer, number, url, pipeline, run, run_seconds)
