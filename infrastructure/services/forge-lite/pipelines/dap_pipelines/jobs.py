"""Gives the jobs of one pipeline their slots, and each a gateway to the engine of its host.

gitlab-ci-local (its attempt.mjs) asks over a Unix socket, in lines of JSON:

    {"jobs": [{"job", "tags"}]}   →  {} or {"refused": why}     before the first is started
    {"job", "tags"}               →  {"host", "number", "helper"}    once it has a slot
    {"end": true}                 →  {"lost": why, or nothing}

A job's slot lasts as long as its connection. Its gateway listens beside that socket, under the
slot's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dap_pipelines.channel import Channel, connect
from dap_pipelines.engine import Engine, EngineError
from dap_pipelines.gateway import Gateway
from dap_pipelines.policy import Policy
from dap_pipelines.serve import Server
from dap_pipelines.slots import misfit
from dap_pipelines.state import Pipeline
from dap_pipelines.values import RUN, Host, Size, Values

LINE_BYTES = 4 * 1024 * 1024
# Connections of one pipeline; a matrix has 200 jobs at most.
MOST = 1000
COORDINATOR = str(RUN / "coordinator")


class Watcher(Protocol):
    """Who is told how jobs fare."""

    def refused(self, reason: str) -> None:
        """The pipeline can't be run at all."""

    def waits(self, job: str, reason: str) -> None:
        """A job has no slot yet."""

    def placed(self, job: str, host: str, labels: list[str]) -> None:
        """A job has a slot on a host, where what it makes has these labels."""

    def lost(self, job: str, reason: str) -> None:
        """A job lost its host."""


class Jobs:
    """The jobs of a pipeline; `policy` makes the policy of one, of labels, host and its CPUs."""

    def __init__(
        self,
        pipeline: Pipeline,
        values: Values,
        watcher: Watcher,
        policy: Callable[[dict[str, str], Host, Size], Policy],
    ) -> None:
        self.engines: dict[str, Engine] = {}
        self._pipeline = pipeline
        self._values = values
        self._watcher = watcher
        self._policy = policy
        self._server = Server(self._serve, LINE_BYTES, MOST)
        self._uid = -1
        self._place = Path()

    async def start(self, path: Path, uid: int) -> None:
        """Listen on a Unix socket for what runs as `uid`."""
        self._place, self._uid = path, uid
        await self._server.start(path)
        os.chown(path, uid, uid)

    async def close(self) -> None:
        """Give all slots back."""
        self._server.close()
        self._server.tasks.cancel()
        await self._server.tasks.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await reader.readline())
            if "jobs" in asked:
                _say(writer, self._check(asked["jobs"]))
            else:
                await self._attempt(_named(asked), reader, writer)
        # It comes from where anybody who may push can run commands.
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            _say(writer, {"refused": f"there is no slot to be had: {error!r}"})

    def _check(self, jobs: list[dict[str, Any]]) -> dict[str, Any]:
        for job, tags in map(_named, jobs):
            if reason := self._misfit(job, tags):
                self._watcher.refused(reason)
                return {"refused": reason}
        return {}

    def _misfit(self, job: str, tags: list[str]) -> str:
        if misfit(self._values.engines, job, tags):
            self._values = self._values.renewed()  # hosts may have come since
        return misfit(self._values.engines, job, tags)

    def _host(self, name: str) -> Host:
        if all(host.name != name for host in self._values.engines):
            self._values = self._values.renewed()
        return next(host for host in self._values.engines if host.name == name)

    async def _attempt(
        self,
        asked: tuple[str, list[str]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Give a job a slot for one attempt, which ends when it says so or is gone."""
        job, tags = asked
        if reason := self._misfit(job, tags):
            raise ValueError(reason)
        channel = await connect(COORDINATOR)
        try:
            of = self._pipeline
            wish = {"pipeline": of.id, "project": of.project, "user": of.user}
            await _tell(channel, {**wish, "job": job, "tags": tags})
            ended = asyncio.ensure_future(reader.readline())
            while "number" not in (slot := await _first(channel, ended)):
                if not slot:
                    return
                if "lost" in slot:
                    raise ValueError(slot["lost"])
                self._watcher.waits(job, slot["waits"])
            await self._run(job, slot, channel, ended, writer)
        finally:
            channel.close()

    async def _run(
        self,
        job: str,
        slot: dict[str, Any],
        channel: Channel,
        ended: asyncio.Future[bytes],
        writer: asyncio.StreamWriter,
    ) -> None:
        host = self._host(slot["host"])
        engine = self.engines.setdefault(host.name, Engine(host))
        labels = {
            "dap.pipeline": str(self._pipeline.id),
            "dap.platform": self._values.platform,
            "dap.slot": str(slot["number"]),
        }
        gateway = Gateway(self._policy(labels, host, Size(**slot["size"])), engine)
        path = self._place.with_name(f"{self._pipeline.id}-{slot['number']}.sock")
        await gateway.start(path)
        try:
            os.chown(path, self._uid, self._uid)
            self._watcher.placed(job, host.name, [f"{k}={v}" for k, v in labels.items()])
            answer = {"host": host.name, "number": slot["number"], "helper": slot["helper"]}
            _say(writer, answer)
            lost = asyncio.ensure_future(_line(channel))
            await _first_of(ended, lost)
            if lost.done():
                gateway.lose((await lost).get("lost") or "the worker of the pipelines ended")
                self._watcher.lost(job, gateway.lost)
                await ended
            lost.cancel()
            if gateway.broken and not gateway.lost:
                gateway.lose(gateway.broken)
                self._watcher.lost(job, gateway.lost)
            _say(writer, {"lost": gateway.lost})
            gateway.close()
            # What can't be cleared away now, the coordinator does before it gives the slot away.
            with contextlib.suppress(EngineError, OSError):
                if not gateway.lost:
                    await engine.clear(f"{k}={v}" for k, v in labels.items())
                    await _tell(channel, {"cleared": True})
        finally:
            gateway.close()
            path.unlink(missing_ok=True)


def _named(asked: dict[str, Any]) -> tuple[str, list[str]]:
    return str(asked["job"])[:1000], [str(tag)[:1000] for tag in asked.get("tags") or []]


async def _first(channel: Channel, ended: asyncio.Future[bytes]) -> dict[str, Any]:
    """Return what the coordinator says next; nothing where the job is gone before."""
    line = asyncio.ensure_future(_line(channel))
    await _first_of(line, ended)
    if not line.done():
        line.cancel()
        return {}
    return await line


async def _first_of(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _line(channel: Channel) -> dict[str, Any]:
    try:
        return dict(json.loads(await channel.until(b"\n")))
    except EOFError:
        return {}


async def _tell(channel: Channel, message: dict[str, Any]) -> None:
    await channel.write(json.dumps(message).encode() + b"\n")


def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
