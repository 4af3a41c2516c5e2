"""The steps of the demo, in the order in which a user takes them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.access import Access, Clock, await_result
from demo.project import ADMIN, REPOSITORY, ROOT, Project

PLATFORM = Project(ROOT / "build" / "demo")

FINISHED = {"FINISHED", "FAILED", "KILLED"}
PIPELINE_ENDED = re.compile(r"^(success|failed|cancelled|crashed)$")


class DemoError(Exception):
    """The demo did not come to its end; says where to look."""


@dataclass
class Outcome:
    """What a demo led to.

    Attributes:
        commit: what was pushed.
        answer: what the forge answered to the push.
        run: the finished MLflow run.
        seconds: time of each step, in seconds.
    """

    commit: str
    answer: str
    run: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

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
    clock.say(f"making a project from the template in {shown(project.path)}")
    project.scaffold()
    project.commit("The demo's project")
    clock.say("make deploy")
    project.make("deploy")


def push_and_wait(project: Project, clock: Clock, timeout_s: float = 300) -> Outcome:
    """Push the example and wait for the MLflow run of its pipeline.

    Raises:
        DemoError: the run failed, or none was there in time.
    """
    access = admin(project)
    commit = project.commit("A run of the example")
    clock.say(f"git push: commit {commit[:12]}")
    pushed = clock.seconds
    answer = project.push()
    clock.say("waiting for the pipeline's MLflow run")
    last = ""

    def finished() -> dict[str, Any] | None:
        nonlocal last
        run = access.run_of_commit(REPOSITORY, commit)
        state = run["info"]["status"] if run else "no run yet"
        ended = pipeline_state(access, commit)
        if (state, ended) != last:
            clock.say(f"  pipeline: {ended or 'unknown'}; run: {state}")
            last = (state, ended)
        if run and state in FINISHED:
            return run
        if ended and PIPELINE_ENDED.match(ended) and not run:
            raise DemoError(f"the pipeline ended as {ended} without a run: {pipelines_url(access)}")
        return None

    try:
        run = await_result(f"the MLflow run of commit {commit[:12]}", finished, timeout_s)
    except TimeoutError as error:
        raise DemoError(f"{error}; the pipeline's log is at {pipelines_url(access)}") from error
    if run["info"]["status"] != "FINISHED":
        raise DemoError(
            f"the run ended as {run['info']['status']}; the log is at {pipelines_url(access)}"
        )
    return Outcome(commit, answer, run, {"push to run finished": clock.seconds - pushed})
