"""The worker: takes requests from the spool, starts pipelines, and sets right what a crash left."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from dap_pipelines import ownership
from dap_pipelines.coordinator import Coordinator
from dap_pipelines.policy import BUILDER_UID
from dap_pipelines.run import abandon
from dap_pipelines.serve import Tasks
from dap_pipelines.slots import Turns, most_at_once
from dap_pipelines.state import FINAL, Pipeline, load, pipelines, write
from dap_pipelines.values import BUILDS, ENGINES, RUN, SPOOL, STATE, WORK, Values

ATTEMPT = (sys.executable, "-m", "dap_pipelines", "run")
# Looks without being told, should the kernel lose an event.
LOOK_SECONDS = 60
log = logging.getLogger("pipelines")


class Waiting:
    """A pipeline that waits to be started."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.number, self.user, self.project = pipeline.id, pipeline.user, pipeline.project
        self.since = pipeline.created
        self.age = (self.number, 0)


class Worker:
    """The one that starts pipelines, in turns between users, and those that run no more at once."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._most = most_at_once(sum(host.slots for host in values.engines))
        self._coordinator = Coordinator(values)
        self._waiting: list[Waiting] = []
        self._under_way: list[Waiting] = []
        self._turns = Turns()
        self._tasks = Tasks()
        self._wake = asyncio.Event()

    def serve(self) -> None:
        """Work until the process is told to end."""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._prepare()
        await self._coordinator.start()
        loop = asyncio.get_running_loop()
        observer = Observer()
        observer.schedule(_Wake(lambda: loop.call_soon_threadsafe(self._wake.set)), str(SPOOL))
        changed = _Wake(lambda: loop.call_soon_threadsafe(self._change_hosts))
        observer.schedule(changed, str(ENGINES.parent))
        observer.start()
        (RUN / "ready").touch()
        while True:
            self._wake.clear()
            self._work()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _prepare(self) -> None:
        for path in (STATE, RUN, WORK):
            path.mkdir(exist_ok=True)
        for name in self._values.projects:
            (STATE / name).mkdir(exist_ok=True)
        write(STATE / "projects.json", list(self._values.projects))
        # A new volume is root's.
        os.chown(BUILDS, BUILDER_UID, BUILDER_UID)
        for path in WORK.iterdir():
            ownership.remove(path)
        for pipeline in pipelines():
            # What is left of it on the hosts goes when those are taken in.
            if pipeline.status == "running":
                pipeline.end("crashed", "its runner was lost")
            elif pipeline.status not in FINAL:
                self._waiting.append(Waiting(pipeline))

    def _change_hosts(self) -> None:
        """Go on with the hosts that a deploy has put in the place of those before."""
        try:
            self._values = self._values.renewed()
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s: can't be read: %s", ENGINES, error)
            return
        self._most = most_at_once(sum(host.slots for host in self._values.engines))
        self._coordinator.change(self._values.engines)
        self._start()

    def _work(self) -> None:
        for suffix, take in (("run", self._run), ("cancel", self._cancel)):
            for path in sorted(SPOOL.glob(f"*.{suffix}"), key=_number):
                try:
                    take(json.loads(path.read_text()))
                except (ValueError, KeyError, TypeError) as error:
                    log.warning("%s: not a request: %s", path.name, error)
                path.unlink()
        self._start()

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
        self._waiting.append(Waiting(pipeline))

    def _start(self) -> None:
        """Start what may be under way, and tell what waits."""
        order = self._turns.order(self._waiting, self._under_way)
        started = order[: max(0, self._most - len(self._under_way))]
        for each in started:
            self._waiting.remove(each)
            self._under_way.append(each)
            self._turns.took(each.user)
            self._tasks.start(self._attempt(each))
        shown = [
            {"pipeline": each.number, "project": each.project, "user": each.user,
             "since": each.since}
            for each in order[len(started):]
        ]  # fmt: skip
        self._coordinator.extra = {
            "pipelines": {"most": self._most, "under_way": len(self._under_way), "waiting": shown}
        }
        self._coordinator.changed()

    async def _attempt(self, started: Waiting) -> None:
        """Run a pipeline; one whose runner dies without a word is marked as crashed."""
        words = (started.project, str(started.number))
        try:
            process = await asyncio.create_subprocess_exec(*ATTEMPT, *words)
            await process.wait()
            if load(started.project, started.number).status not in FINAL:
                await asyncio.to_thread(abandon, started.project, started.number, self._values)
        finally:
            self._under_way.remove(started)
            self._start()

    def _cancel(self, request: dict[str, Any]) -> None:
        number = int(request["id"])
        for each in self._waiting:
            if each.number == number:
                self._waiting.remove(each)
                load(each.project, number).end("canceled", f"by {request['user']}")
                return
        if not any(each.number == number for each in self._under_way):
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


class _Wake:
    """Wakes the worker for every file that is moved to where it looks."""

    def __init__(self, wake: Any) -> None:
        self._wake = wake

    def dispatch(self, event: FileSystemEvent) -> None:
        if event.event_type == "moved":
            self._wake()


def _number(path: Path) -> int:
    return int(path.name.split(".")[0])
