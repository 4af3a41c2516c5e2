"""The worker: takes requests from the spool, keeps the queue, and sets right what a crash left."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from dap_pipelines import engine, ownership
from dap_pipelines.policy import BUILDER_UID
from dap_pipelines.run import abandon
from dap_pipelines.state import FINAL, Pipeline, load, pipelines, write
from dap_pipelines.values import BUILDS, RUN, SPOOL, STATE, WORK, Values

ATTEMPT = "/opt/pipelines/attempt"
# Looks without being told, should the kernel lose an event.
LOOK_SECONDS = 60
log = logging.getLogger("pipelines")


class Worker:
    """The one that enqueues; the queue itself is task-spooler."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._queued: dict[int, str] = {}
        self._wake = threading.Event()

    def serve(self) -> None:
        """Work until the process is told to end."""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        self._prepare()
        observer = Observer()
        observer.schedule(_Wake(self._wake), str(SPOOL))
        observer.start()
        (RUN / "ready").touch()
        while True:
            self._wake.clear()
            self._work()
            self._wake.wait(LOOK_SECONDS)

    def _prepare(self) -> None:
        for path in (STATE, RUN, WORK):
            path.mkdir(exist_ok=True)
        for name in self._values.projects:
            (STATE / name).mkdir(exist_ok=True)
        write(STATE / "projects.json", list(self._values.projects))
        # A new volume is root's.
        os.chown(BUILDS, BUILDER_UID, BUILDER_UID)
        removed = engine.clear(self._values.platform)
        for path in WORK.iterdir():
            ownership.remove(path)
        if removed:
            log.info("removed %d objects of lost pipelines", removed)
        for pipeline in pipelines():
            if pipeline.status == "running":
                abandon(pipeline.project, pipeline.id, self._values)
            elif pipeline.status not in FINAL:
                self._enqueue(pipeline)

    def _work(self) -> None:
        for suffix, take in (("run", self._run), ("cancel", self._cancel)):
            for path in sorted(SPOOL.glob(f"*.{suffix}"), key=_number):
                try:
                    take(json.loads(path.read_text()))
                except (ValueError, KeyError, TypeError) as error:
                    log.warning("%s: not a request: %s", path.name, error)
                path.unlink()
        self._find_lost()

    def _find_lost(self) -> None:
        """Queue again what waits and is in no queue: task-spooler died, and another was started."""
        waiting = [pipeline for pipeline in pipelines() if pipeline.status == "pending"]
        if not waiting:
            return
        listed = self._tsp()
        listed.check_returncode()
        known = {int(found) for found in re.findall(r"\[p(\d+)\]", listed.stdout)}
        for pipeline in waiting:
            # What was started meanwhile is not in the queue, and no longer waits either.
            if pipeline.id not in known and load(pipeline.project, pipeline.id).status == "pending":
                log.warning("pipeline %d of %s: was lost", pipeline.id, pipeline.project)
                self._enqueue(pipeline)

    def _run(self, request: dict[str, Any]) -> None:
        pipeline = Pipeline(
            **{
                key: request[key]
                for key in (
                    "id",
                    "project",
                    "ref",
                    "commit",
                    "message",
                    "user",
                    "created",
                )
            },
            author=str(request.get("author", ""))[:200],
            before=str(request.get("before", "")),
            job=str(request.get("job", "")),
            variables={str(k): str(v) for k, v in request.get("variables", {}).items()},
        )
        if pipeline.project not in self._values.projects:
            raise ValueError(f"no such project: {pipeline.project}")
        for name in (pipeline.commit, pipeline.before or pipeline.commit):
            if not re.fullmatch(r"[0-9a-f]{40,64}", name):
                raise ValueError("the commit is no object name")
        if not re.fullmatch(r"refs/(heads|tags)/.+", pipeline.ref):
            raise ValueError("the ref is neither branch nor tag")
        if pipeline.job.startswith("-"):
            raise ValueError("the job is no name")
        if pipeline.directory.exists():
            return
        pipeline.directory.mkdir()
        pipeline.save()
        self._enqueue(pipeline)

    def _enqueue(self, pipeline: Pipeline) -> None:
        command = [ATTEMPT, pipeline.project, str(pipeline.id)]
        done = self._tsp("-n", "-L", f"p{pipeline.id}", *command)
        done.check_returncode()
        self._queued[pipeline.id] = done.stdout.strip()
        log.info("pipeline %d of %s: queued", pipeline.id, pipeline.project)

    def _tsp(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call task-spooler; the first call of any kind starts its server, with these values."""
        return subprocess.run(
            ["tsp", *arguments],
            env={
                **os.environ,
                "TS_SLOTS": str(self._values.slots),
                # With 1, task-spooler dies where two end at once, and its queue with it.
                "TS_MAXFINISHED": "20",
                "TS_SOCKET": str(RUN / "queue"),
            },
            check=False,
            capture_output=True,
            text=True,
        )

    def _cancel(self, request: dict[str, Any]) -> None:
        number = int(request["id"])
        found = [path.parent.parent.name for path in STATE.glob(f"*/{number}/pipeline.json")]
        if not found:
            return
        # The runner looks for the mark after it has written its process id, and we after the mark
        # for the process id: one of us sees the other.
        (RUN / f"cancel-{number}").write_text(str(request["user"]))
        pid = RUN / f"pid-{number}"
        if pid.exists():
            try:
                os.kill(int(pid.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                log.info("pipeline %d: ended before it could be canceled", number)
            return
        dropped = self._tsp("-r", self._queued.get(number, ""))
        if dropped.returncode == 0:
            (RUN / f"cancel-{number}").unlink()
            load(found[0], number).end("canceled", f"by {request['user']}")


class _Wake:
    """Wakes the worker for every file that is moved into the spool."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake

    def dispatch(self, event: FileSystemEvent) -> None:
        if event.event_type == "moved":
            self._wake.set()


def _number(path: Path) -> int:
    return int(path.name.split(".")[0])
