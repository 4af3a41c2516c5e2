"""The state of pipelines on disk: what the pages, the hook and the `pipeline` command read."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dap_pipelines.values import STATE

FINAL = {"success", "failed", "canceled", "crashed"}
SUMMARY = (
    *("id", "project", "ref", "commit", "author", "user", "status"),
    *("created", "started", "finished"),
)


@dataclass
class Job:
    """A job; times are seconds since the epoch. `host`: where it ran last."""

    name: str
    stage: str
    log: str
    status: str = "created"
    image: str = ""
    host: str = ""
    started: float | None = None
    finished: float | None = None
    exit: int | None = None
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@dataclass
class Pipeline:
    """A pipeline; `status` is pending, running, success, failed, canceled or crashed.

    `before` is the commit that the branch was at before the push, empty for a new one.
    `job` is the only one that is run, empty: all. `variables` go before the predefined ones.
    """

    id: int
    project: str
    ref: str
    commit: str
    message: str
    user: str
    created: float
    author: str = ""
    before: str = ""
    status: str = "pending"
    reason: str = ""
    started: float | None = None
    finished: float | None = None
    jobs: list[Job] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    job: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Where its state, logs and artifacts are."""
        return STATE / self.project / str(self.id)

    def save(self) -> None:
        """Write the state, whole or not at all, and the project's list."""
        write(self.directory / "pipeline.json", asdict(self))
        _list(self)

    def say(self, line: str) -> None:
        """Add a line of progress, which the pusher sees."""
        with (self.directory / "progress.log").open("a") as file:
            file.write(" ".join(line.split()) + "\n")

    def end(self, status: str, reason: str = "") -> None:
        """Set the final status, also of jobs that were under way, and save."""
        now = time.time()
        self.status, self.reason, self.finished = status, reason, now
        for job in self.jobs:
            if job.status == "running":
                job.status, job.finished = status if status != "success" else "failed", now
            elif job.status == "created":
                job.status = "skipped"
        took = now - (self.started or now)
        self.say(f"pipeline {status} in {took:.1f} s" + (f": {reason}" if reason else ""))
        self.save()


def write(path: Path, data: object) -> None:
    """Write JSON that readers see whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(data))
    draft.chmod(0o644)
    draft.replace(path)


def load(project: str, number: int) -> Pipeline:
    """Return a pipeline's state.

    Raises:
        OSError, ValueError, TypeError: there is none, or it is damaged.
    """
    data = json.loads((STATE / project / str(number) / "pipeline.json").read_text())
    data["jobs"] = [Job(**job) for job in data["jobs"]]
    return Pipeline(**data)


def pipelines(project: str = "*") -> Iterator[Pipeline]:
    """Yield the pipelines that are kept, oldest first."""
    found = sorted(STATE.glob(f"{project}/*/pipeline.json"), key=lambda path: int(path.parent.name))
    for path in found:
        # Another runner may delete the oldest meanwhile.
        try:
            pipeline = load(path.parent.parent.name, int(path.parent.name))
        except FileNotFoundError:
            continue
        yield pipeline


def _list(pipeline: Pipeline) -> None:
    directory = pipeline.directory.parent
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = directory / "index.json"
        entries = json.loads(path.read_text()) if path.exists() else []
        entry = {key: getattr(pipeline, key) for key in SUMMARY}
        entry["title"] = pipeline.message.split("\n")[0][:200]
        entry["reason"] = pipeline.reason.split("\n")[-1][:200]
        entries = [other for other in entries if other["id"] != pipeline.id] + [entry]
        write(path, sorted(entries, key=lambda other: -int(other["id"])))


def prune(project: str, keep: int) -> None:
    """Delete the oldest ended pipelines of a project beyond the number to keep."""
    ended = [pipeline for pipeline in pipelines(project) if pipeline.status in FINAL]
    for pipeline in ended[: max(0, len(ended) - keep)]:
        forget(pipeline)


def forget(pipeline: Pipeline) -> None:
    """Delete the state, logs and artifacts of a pipeline that has ended, if they are there.

    Raises:
        ValueError: it has not ended.
    """
    if pipeline.status not in FINAL:
        raise ValueError(f"pipeline {pipeline.id} is {pipeline.status}")
    directory = pipeline.directory.parent
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = directory / "index.json"
        entries = [e for e in json.loads(path.read_text()) if e["id"] != pipeline.id]
        write(path, entries)
        if pipeline.directory.exists():
            shutil.rmtree(pipeline.directory)


def slug(name: str, number: int) -> str:
    """Return a file name for a job: its number in the pipeline and its name, made plain."""
    return f"{number}-" + re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60]
