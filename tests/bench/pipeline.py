"""From a push to its pipeline and its MLflow run."""

import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
import yaml

from demo.access import Access, Clock, await_result
from demo.flow import ASKED, PIPELINE_ENDS, PLATFORM, push_and_wait
from demo.project import REPOSITORY, Project, clean_environment, run
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.timing import interleave, seconds

COMMAND = ["python", "-c", "print('hello')"]
RUNS = 3  # at most, of the example: each takes a quarter of a minute
FIRST_LINE_AT_MOST_S = 3
EXAMPLE_AT_MOST_S = 30
ENVIRONMENT = "environment-python"


def small_repository(project: Project) -> Path:
    """Make a repository whose pipeline is one command."""
    path = PLATFORM.directory / "bench" / "small"
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    job = {"image": "$DAP_ENVIRONMENT_PYTHON", "script": [shlex.join(COMMAND)]}
    (path / ".gitlab-ci.yml").write_text(yaml.safe_dump({"hello": job}))
    run("git", "init", "--quiet", "--initial-branch", "bench", cwd=path)
    for key, value in {
        "core.sshCommand": project.git("config", "core.sshCommand").strip(),
        "user.name": "Bench",
        "user.email": f"bench@{project.domain}",
    }.items():
        run("git", "config", key, value, cwd=path)
    remote = project.git("remote", "get-url", "origin").strip()
    run("git", "remote", "add", "origin", remote, cwd=path)
    run("git", "add", ".gitlab-ci.yml", cwd=path)
    return path


@dataclass(frozen=True)
class Push:
    """Times of one push, in seconds.

    Attributes:
        first_line: from the push to a line in the job's page.
        end: from the push to the pipeline's end.
        job: from the job's start to its end.
    """

    first_line: float
    end: float
    job: float


def push_small(path: Path, access: Access) -> Push:
    """Push a commit of the small repository and follow its pipeline's page.

    Raises:
        RuntimeError: the pipeline did not start or failed.
    """
    run("git", "commit", "--quiet", "--allow-empty", "-m", "Run", cwd=path)
    command = ["git", "push", "--force", "origin", "bench"]
    started = time.time()
    with subprocess.Popen(
        command, cwd=path, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as push:
        assert push.stderr is not None
        asked = next(filter(None, map(ASKED.search, push.stderr)), None)
        if asked is None:
            raise RuntimeError("the push started no pipeline")
        number = int(asked[1])
        first: list[float] = []

        def ended() -> dict[str, Any] | None:
            state: dict[str, Any] = access.pipeline(REPOSITORY, number).json()
            if not first and state["jobs"]:
                log = access.pipeline(REPOSITORY, number, state["jobs"][0]["log"])
                if log.ok and log.text.strip():
                    first.append(time.time() - started)
            return state if state["status"] in PIPELINE_ENDS else None

        state = await_result(f"pipeline #{number}", ended, 60, 0.02)
        push.stderr.read()
    if state["status"] != "success" or not first:
        raise RuntimeError(f"pipeline #{number}: {state['status']}; see {asked[2]}")
    [job] = state["jobs"]
    return Push(first[0], state["finished"] - started, job["finished"] - job["started"])


def job_times(bench: Bench) -> None:
    """Time a trivial pipeline from the push, and the same command by a bare `docker run`."""
    platform = bench.platform
    path = small_repository(platform.project)
    image = platform.image(ENVIRONMENT)
    pushes: list[Push] = []
    with requests.Session() as session:
        access = replace(platform.access, session=session)

        def pipeline() -> float:
            pushes.append(push_small(path, access))
            return pushes[-1].job

        def bare() -> float:
            return seconds(lambda: run("docker", "run", "--rm", image, *COMMAND))

        pipeline()  # the first job of a platform makes its caches
        pushes.clear()
        values = interleave(bench.repeats, {"job": pipeline, "bare": bare})
    baseline = Baseline("bare `docker run`", values["bare"])
    overhead = [job - alone for job, alone in zip(values["job"], values["bare"], strict=True)]
    bench.add(
        Figure(
            *("push → first line of the job's log", "s", [push.first_line for push in pushes]),
            "as its page shows it",
            FIRST_LINE_AT_MOST_S,
            baseline,
        ),
        Figure(
            *("the job", "s", values["job"]),
            "from its start to its end: checkout, variables, artifacts are in it",
            baseline=baseline,
        ),
        Figure(
            *("overhead of a job", "s", overhead),
            "the job less the `docker run` of the same round",
        ),
        Figure(
            *("the whole pipeline", "s", [push.end for push in pushes]),
            "from the push to the pipeline's end",
            baseline=baseline,
        ),
    )


def example_times(bench: Bench) -> None:
    """Time the example from the push to the end of its MLflow run."""
    values, own = [], []
    for _ in range(min(RUNS, bench.repeats)):
        started = time.time()
        info = push_and_wait(bench.platform.project, Clock()).run["info"]
        values.append(info["end_time"] / 1000 - started)
        own.append((info["end_time"] - info["start_time"]) / 1000)
    bench.add(
        Figure(
            *("push → the example's MLflow run finished", "s", values),
            "two jobs come before the one that trains",
            EXAMPLE_AT_MOST_S,
            Baseline("the MLflow run alone", own),
        )
    )


def measure(bench: Bench) -> None:
    """Time a trivial pipeline and the example's."""
    job_times(bench)
    example_times(bench)
