"""What services in clusters say, as `dap.logs` shows it."""

from __future__ import annotations

import datetime as dt
import heapq
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from kubernetes.dynamic.exceptions import BadRequestError, DynamicApiError, NotFoundError
from urllib3.exceptions import HTTPError

from dap.cluster.source import SERVICE_LABEL
from dap.engine import Prepared
from dap.errors import DapError, InputError
from dap.logs import Line, Source, Wanted, merged, of_hosts
from dap.plan import HostView
from dap.stack.live import Live, connected
from dap.stack.place import of_cluster, of_platform

Entry = dict[str, str]
_AT_ONCE = 16
_FOLLOWED = 200  # containers; each takes a connection
_LOOK_S = 2.0
# What a node says itself, as that it has a log no more, has no time.
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+) (.*)", re.DOTALL)


def read(prepared: Prepared, wanted: Wanted, tell: Callable[[str], None]) -> Iterator[Line]:
    """Yield the lines of a platform that is in a cluster or has clusters that run its jobs.

    The oldest comes first; with `follow` then each as it comes. A cluster that runs jobs alone and
    does not answer is told, and left out.

    Raises:
        InputError: there is no such service, or too many are to be followed.
        HostError: a host can't be asked.
        DapError: the platform's own cluster does not answer.
    """
    with ExitStack() as stack:
        settings = prepared.plan.settings
        sources: list[Source] = []
        if settings.cluster is not None:
            own = stack.enter_context(connected(of_platform(settings, prepared.root)))
            sources.append(_ClusterSource(prepared.plan.service_host.host.name, own, wanted))
        for host in prepared.plan.clusters:
            try:
                sources.append(_of_cluster(prepared, host.host, wanted, stack))
            except InputError:
                raise
            except DapError as error:
                tell(f"{host.host.name}: {error.message}; going on without")
        # Last, for each is a process that `merged` ends.
        if settings.cluster is None:
            sources += of_hosts(prepared.root, settings, wanted)
        yield from merged(settings.name, sources, wanted)


def _of_cluster(
    prepared: Prepared, host: HostView, wanted: Wanted, stack: ExitStack
) -> _ClusterSource:
    """Return the logs of a cluster that runs jobs; what asks it is left to `stack`."""
    with ExitStack() as own:
        live = own.enter_context(connected(own.enter_context(of_cluster(prepared, host))))
        source = _ClusterSource(host.name, live, wanted)
        stack.push(own.pop_all())
    return source


@dataclass(frozen=True)
class Run:
    """One run of a container, of which its pod keeps the log: the last, or the one before it."""

    service: str
    pod: str
    uid: str
    container: str
    number: int
    previous: bool = field(default=False, compare=False)
    running: bool = field(default=False, compare=False)


def runs(pods: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Return the runs of containers that have logs; where one was started anew, that before too.

    Jobs of pipelines are of no service: the forge has what they say.
    """
    found = []
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        service = (metadata.get("labels") or {}).get(SERVICE_LABEL, "")
        if not service:
            continue
        for each in (
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        ):
            restarts = int(each.get("restartCount") or 0)
            run = (service, metadata["name"], metadata["uid"], each["name"])
            if restarts:
                found.append(Run(*run, restarts - 1, previous=True))
            state = each.get("state") or {}
            if {"running", "terminated"} & state.keys():
                found.append(Run(*run, restarts, running="running" in state))
    return found


class _ClusterSource(Source):
    """The logs of the platform's pods in one namespace."""

    def __init__(self, name: str, live: Live, wanted: Wanted) -> None:
        self.name = name
        self._live = live
        self._wanted = wanted
        self._closed = threading.Event()
        # Of a run: the time of its last line that was read, and how many lines have that time.
        self._seen: dict[Run, tuple[str, int]] = {}
        pods = live.own_pods()
        self.services: Sequence[str] = sorted(
            {(pod["metadata"].get("labels") or {}).get(SERVICE_LABEL, "") for pod in pods} - {""}
        )
        self._runs = self._chosen(pods)

    def _chosen(self, pods: Iterable[Mapping[str, Any]]) -> list[Run]:
        found = [run for run in runs(pods) if self._wanted.service in ("", run.service)]
        if self._wanted.follow and len(found) > _FOLLOWED:
            raise InputError(
                f"{self.name}: {len(found)} containers can't be followed at once; at most "
                f"{_FOLLOWED} can",
                "name one service: SERVICE=name",
            )
        return found

    def past(self) -> Iterable[Entry]:
        """Return what was said so far, by time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            said = list(pool.map(lambda run: list(self._lines(run)), self._runs))
        for run, entries in zip(self._runs, said, strict=True):
            last = entries[-1]["time"] if entries else ""
            self._seen[run] = (last, sum(each["time"] == last for each in entries))
        return heapq.merge(*said, key=lambda entry: entry["time"])

    def coming(self) -> Iterator[Entry]:
        """Yield each entry as it comes, of pods that come meanwhile too."""
        entries: queue.Queue[Entry] = queue.Queue()
        followed: set[Run] = set()
        done: set[Run] = set()

        def follow(run: Run) -> None:
            # What is cut off, or answers before its log is there, the next look goes on with.
            with suppress(HTTPError, DynamicApiError):
                for entry in self._new(run):
                    entries.put(entry)
                if not run.running:
                    done.add(run)
            followed.remove(run)

        look = 0.0
        while not self._closed.is_set():
            if time.monotonic() >= look:
                for run in self._chosen(self._live.own_pods()):
                    if run not in followed and run not in done:
                        followed.add(run)
                        threading.Thread(target=follow, args=(run,), daemon=True).start()
                look = time.monotonic() + _LOOK_S
            try:
                yield entries.get(timeout=_LOOK_S / 4)
            except queue.Empty:
                continue

    def close(self) -> None:
        """Ask for no more; what is being read ends with this program."""
        self._closed.set()

    def _new(self, run: Run) -> Iterator[Entry]:
        """Yield what comes after the lines of a run that were read."""
        last, count = self._seen.get(run, ("", 0))
        for entry in self._lines(run, after=last, follow=not run.previous):
            if entry["time"] < last:
                continue
            if entry["time"] == last and count:
                count -= 1
                continue
            now, same = self._seen.get(run, ("", 0))
            time_ = entry["time"]
            self._seen[run] = (time_, same + 1 if time_ == now else 1)
            yield entry

    def _lines(self, run: Run, *, after: str = "", follow: bool = False) -> Iterator[Entry]:
        query = {"timestamps": "true"}
        if after or self._wanted.since:
            query["sinceTime"] = after or _time(self._wanted.since)
        if self._wanted.lines and not follow:
            query["tailLines"] = str(self._wanted.lines)
        query |= {"previous": "true"} if run.previous else {}
        query |= {"follow": "true"} if follow else {}
        try:
            answer = self._live.log(run.pod, run.container, query)
        except (BadRequestError, NotFoundError):
            return  # it went meanwhile, or its log did
        time_ = after or _time(self._wanted.since)
        for line in answer:
            said = line.decode(errors="replace").rstrip("\n")
            stamped = _STAMPED.fullmatch(said)
            if stamped:
                time_, said = in_utc(stamped[1]), stamped[2]
            yield {"time": time_, "service": run.service, "text": said}


def in_utc(time_: str) -> str:
    """Return a time of a node's, with nanoseconds and perhaps in its own zone, in UTC."""
    if time_.endswith("Z"):
        return time_
    moment = dt.datetime.fromisoformat(time_).astimezone(dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{time_[19:29]}Z"


def _time(since: float) -> str:
    return f"{dt.datetime.fromtimestamp(since, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
