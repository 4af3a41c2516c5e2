"""Gives slots to jobs, watches the hosts, and tells how things are.

A pipeline's process asks for each job's slot over a Unix socket, in lines of JSON:

    it says   {"pipeline", "project", "user", "job", "tags"}
    answers   {"waits": for what}         if there is no slot at once
              {"number", "host", "size", "helper"}   now it has one
              {"lost": why}               the host is gone and the slot with it, or none fits now
    it says   {"cleared": true}           nothing of the job is left

and holds the slot as long as the connection is open, so that it is freed whatever dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from dap_pipelines import state
from dap_pipelines.engine import Engine, EngineError, labels
from dap_pipelines.serve import Tasks
from dap_pipelines.slots import Slots, Wish, misfit
from dap_pipelines.values import QUEUE, RUN, STATE, Host, Size, Values

# A host is gone when it has answered none of its pings so long, which is known within 30 s.
PING_SECONDS = 4
ANSWER_SECONDS = 5
GONE_SECONDS = 15
# What happens at the same moment is told at once.
TELL_SECONDS = 0.05
LINE_BYTES = 65536
log = logging.getLogger("pipelines")


@dataclass
class Known:
    """What is known of a host: whether it is `up`, since when, and what it said.

    `helper` is the image there that copies artifacts.
    """

    engine: Engine
    host: Host
    status: str = "unknown"
    since: float = field(default_factory=time.time)
    reason: str = ""
    size: Size = field(default_factory=Size)
    helper: str = ""


class Coordinator:
    """The one that knows all slots; `extra` is what else the queue's file is to tell."""

    def __init__(self, values: Values) -> None:
        self.slots = Slots(values.engines)
        self.hosts = {host.name: Known(Engine(host), host) for host in values.engines}
        self.extra: dict[str, Any] = {"pipelines": {"most": 0, "under_way": 0, "waiting": []}}
        self._platform = values.platform
        self._numbers = count(1)
        self._writers: dict[Wish, asyncio.StreamWriter] = {}
        self._started: dict[Wish, float] = {}
        self._tasks = Tasks()
        self._telling: asyncio.TimerHandle | None = None

    async def start(self, path: Path = RUN / "coordinator") -> None:
        """Listen, and watch the hosts from now on."""
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._accept, path, limit=LINE_BYTES)
        path.chmod(0o600)
        self._tasks.start(server.serve_forever())
        for known in self.hosts.values():
            self._tasks.start(self._watch(known))
        self.changed()

    # Slots

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wish = None
        cleared = False
        try:
            asked = json.loads(await reader.readline())
            wish = Wish(
                next(self._numbers),
                asked["pipeline"],
                asked["project"],
                asked["user"],
                asked["job"],
                tuple(asked["tags"]),
                time.time(),
            )
            self._writers[wish] = writer
            self.slots.waiting.append(wish)
            self._grant()
            if wish in self.slots.waiting:
                _say(writer, {"waits": self.slots.reason(wish)})
            while line := await reader.readline():
                cleared = bool(json.loads(line)["cleared"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a request for a slot ended: %r", error)
        finally:
            writer.close()
            if wish is not None:
                await self._end(wish, cleared)

    async def _end(self, wish: Wish, cleared: bool) -> None:
        """Free a slot, after nothing of the job is left on its host."""
        host = self.slots.running.get(wish)
        if host is not None and not cleared:
            await self._clear(wish, self.hosts[host.name])
        self.slots.drop(wish)
        self._writers.pop(wish, None)
        self._started.pop(wish, None)
        self._grant()

    async def _clear(self, wish: Wish, known: Known) -> None:
        """Clear away what a job left, as soon as its host answers; one that is gone has time."""
        mine = [*labels(self._platform, wish.pipeline), f"dap.slot={wish.number}"]
        end = time.monotonic() + 2 * GONE_SECONDS
        while wish in self.slots.running and time.monotonic() < end:
            try:
                await known.engine.clear(mine)
            except (OSError, EngineError) as error:
                log.warning("job %s of pipeline %d: not cleared away on %s: %s",
                            wish.job, wish.pipeline, known.engine.name, error)  # fmt: skip
            else:
                return
            await asyncio.sleep(PING_SECONDS)

    def _grant(self) -> None:
        for name in self.slots.forget():
            self._forget(name)
        for wish, host in self.slots.grant():
            known = self.hosts[host.name]
            self._started[wish] = time.time()
            _say(
                self._writers[wish],
                {
                    "number": wish.number,
                    "host": host.name,
                    "size": asdict(known.size),
                    "helper": known.helper,
                },
            )
        self.changed()

    # Hosts

    async def _watch(self, known: Known) -> None:
        """Ask a host again and again whether it is there."""
        answered = time.monotonic()
        while self.hosts.get(known.engine.name) is known:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await known.engine.ask("GET", "/_ping")
                answered = time.monotonic()
                if known.status != "up":
                    await self._welcome(known)
            except (OSError, EngineError, LookupError, ValueError) as error:
                known.reason = str(error) or "no answer"
                late = time.monotonic() - answered > GONE_SECONDS
                if known.status == "unknown" or (late and known.status == "up"):
                    self._lose(known)
            # A host of its own is here as long as this process is.
            if known.status == "up" and not known.engine.remote:
                return
            await asyncio.sleep(PING_SECONDS)

    async def _welcome(self, known: Known) -> None:
        """Take a host in: first goes what lost pipelines left there."""
        engine = known.engine
        removed = await engine.clear(labels(self._platform))
        known.size, known.helper = await engine.size(), await engine.helper(self._platform)
        if self.hosts.get(engine.name) is not known:
            return  # it has left meanwhile
        known.status, known.since, known.reason = "up", time.time(), ""
        self.slots.up.add(engine.name)
        left = f"; removed {removed} objects of lost pipelines" if removed else ""
        log.info("host %s: up%s", engine.name, left)
        self._grant()

    def change(self, hosts: Iterable[Host]) -> None:
        """Take the hosts of now: new ones are watched, old ones end the jobs that they have."""
        now = {host.name: host for host in hosts}
        for name, host in now.items():
            known = self.hosts.get(name)
            if known is None:
                continue
            if (known.host.address, known.host.port) != (host.address, host.port):
                known.reason = "it has another address"
                self._lose(known)
                self._forget(name)
        self.slots.change(now.values())
        for name in now.keys() - self.hosts.keys():
            self.hosts[name] = Known(Engine(now[name]), now[name])
            self._tasks.start(self._watch(self.hosts[name]))
        for wish in list(self.slots.waiting):
            if reason := misfit(now.values(), wish.job, wish.tags):
                _say(self._writers[wish], {"lost": reason})
        self._grant()

    def _forget(self, name: str) -> None:
        log.info("host %s: left", name)
        del self.hosts[name]

    def _lose(self, known: Known) -> None:
        name = known.engine.name
        known.status, known.since = "gone", time.time()
        log.warning("host %s: gone: %s", name, known.reason)
        for wish in self.slots.lose(name):
            _say(self._writers[wish], {"lost": f"host {name} is gone: {known.reason}"})
        for wish in self.slots.waiting:
            _say(self._writers[wish], {"waits": self.slots.reason(wish)})
        self.changed()

    # What people see

    def changed(self) -> None:
        """Tell soon how things are now."""
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = None
        state.write(STATE / QUEUE, self.seen())

    def seen(self) -> dict[str, Any]:
        """Return hosts with what runs there, and what waits in the order of its turns."""
        hosts = []
        for name, host in self.slots.hosts.items():
            known = self.hosts[name]
            jobs = [
                {**_shown(wish), "since": self._started.get(wish, wish.since)}
                for wish, place in self.slots.running.items()
                if place.name == name
            ]
            hosts.append(
                {
                    "name": name,
                    "labels": host.labels,
                    "slots": host.slots,
                    "gpus": host.gpus,
                    "status": known.status,
                    "since": known.since,
                    "reason": known.reason,
                    "running": jobs,
                }
            )
        waiting = [
            {**_shown(wish), "for": self.slots.reason(wish)} for wish in self.slots.in_turn()
        ]
        return {"hosts": hosts, "waiting": waiting, **self.extra}


def _shown(wish: Wish) -> dict[str, Any]:
    return {key: value for key, value in asdict(wish).items() if key != "number"}


def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    # Who has gone is found by its reader.
    with contextlib.suppress(OSError):
        writer.write(json.dumps(message).encode() + b"\n")
