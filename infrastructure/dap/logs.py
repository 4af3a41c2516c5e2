"""What services say, of all hosts, in the order of time."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dap.errors import InputError
from dap.reach import HostError, each, listen
from dap.settings import Host, Settings, choice

_AGO = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What a service writes must not steer the terminal that shows it.
_STEERING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Wanted:
    """Which lines: of a service (empty: all), the last `lines` (0: all) since a Unix time."""

    service: str
    lines: int
    since: float
    follow: bool


@dataclass(frozen=True)
class Line:
    """A line of a service's log; `label` is the service's name, as wide as the longest."""

    time: str
    host: str
    service: str
    label: str
    text: str


def begin(since: str, now: dt.datetime | None = None) -> float:
    """Return the Unix time that a person means; 0 for an empty text.

    Args:
        since: so long ago (90s, 30m, 2h, 3d), or a time; without a zone it is this machine's.
        now: what "ago" starts from; the present if left out.

    Raises:
        InputError: it is neither.
    """
    if not since:
        return 0
    ago = _AGO.fullmatch(since)
    try:
        if ago is None:
            return dt.datetime.fromisoformat(since).timestamp()
    except ValueError:
        raise InputError(
            f"--since: is no time; allowed: 90s, 30m, 2h, 3d or 2026-01-31T14:00; found: {since}"
        ) from None
    return (now or dt.datetime.now(dt.UTC)).timestamp() - int(ago[1]) * _SECONDS[ago[2]]


class Source(Protocol):
    """The logs of one host or cluster; entries are dicts with time, service and text."""

    name: str
    services: Sequence[str]

    def past(self) -> Iterable[dict[str, str]]:
        """Return what was said so far, by time."""

    def coming(self) -> Iterator[dict[str, str]]:
        """Yield each entry as it comes."""

    def close(self) -> None:
        """Ask it no more."""


class _HostSource:
    """The log of one host."""

    def __init__(self, root: Path, host: Host, arguments: dict[str, Any]) -> None:
        self.name = host.name
        self.process = listen(root, host, "logs", arguments)
        first = self._next()
        if not isinstance(first, dict) or "services" not in first:
            self.process.kill()
            reason = first["error"] if first else "it said nothing"
            raise HostError(f"{host.name}: {reason}", "make doctor says more")
        self.services: Sequence[str] = first["services"]

    def _next(self) -> Any:
        output = self.process.stdout
        if output is None:
            raise AssertionError
        line = output.readline()
        return json.loads(line) if line.strip() else None

    def past(self) -> Iterable[dict[str, str]]:
        """Return entries up to the pause that is the end of the past."""
        return iter(self._next, None)

    def coming(self) -> Iterator[dict[str, str]]:
        """Yield entries up to the end of all."""
        return iter(self._next, None)

    def close(self) -> None:
        """End its process."""
        _end(self.process)


def read(root: Path, settings: Settings, wanted: Wanted) -> Iterator[Line]:
    """Yield the lines of all hosts, oldest first; with `follow` then each as it comes.

    Raises:
        InputError: there is no such service.
        HostError: a host can't be asked.
    """
    return merged(settings.name, of_hosts(root, settings, wanted), wanted)


def of_hosts(root: Path, settings: Settings, wanted: Wanted) -> Sequence[Source]:
    """Return the logs of all hosts, to be closed.

    Raises:
        HostError: a host can't be asked.
    """
    arguments = {
        "project": settings.name,
        "services": [wanted.service] if wanted.service else [],
        "lines": wanted.lines,
        "since": wanted.since,
        "follow": wanted.follow,
    }
    return each(settings.hosts, lambda host: _HostSource(root, host, arguments))


def merged(platform: str, sources: Sequence[Source], wanted: Wanted) -> Iterator[Line]:
    """Yield the lines of all sources, oldest first; with `follow` then each as it comes.

    Raises:
        InputError: there is no such service.
    """
    try:
        known = sorted({name for source in sources for name in source.services})
        if not known:
            raise InputError(f"{platform} is not deployed: it has no container", "make deploy")
        if wanted.service and wanted.service not in known:
            allowed = choice(wanted.service, known)
            raise InputError(f"no service is called {wanted.service}; there are: {allowed}")
        width = max(map(len, known))

        def line(host: str, entry: dict[str, str]) -> Line:
            service = entry["service"]
            text = _STEERING.sub("", entry["text"])
            return Line(entry["time"], host, service, f"{service:<{width}}", text)

        past = heapq.merge(
            *([line(source.name, entry) for entry in source.past()] for source in sources),
            key=lambda each: each.time,
        )
        told = list(past)
        yield from told[-wanted.lines :] if wanted.lines else told
        if wanted.follow:
            yield from itertools.starmap(line, _live(sources))
    finally:
        for source in sources:
            source.close()


def _live(sources: Sequence[Source]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what comes from any source, until all have ended."""
    coming: queue.Queue[tuple[str, dict[str, str]] | Exception | None] = queue.Queue()

    def pass_on(source: Source) -> None:
        try:
            for entry in source.coming():
                coming.put((source.name, entry))
            coming.put(None)
        except Exception as error:  # raised again below, where it is heard
            coming.put(error)

    for source in sources:
        threading.Thread(target=pass_on, args=(source,), daemon=True).start()
    for _ in sources:
        while (found := coming.get()) is not None:
            if isinstance(found, Exception):
                raise found
            yield found


def _end(process: subprocess.Popen[str]) -> None:
    """Close its input, upon which it ends."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
    if process.stdout is not None:
        process.stdout.close()
