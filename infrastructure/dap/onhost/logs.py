"""Prints what services said, each entry a line of JSON, and goes on as long as it is asked to."""

from __future__ import annotations

import calendar
import heapq
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from dap.onhost import docker

HEADER = 8  # bytes before each entry: 1 tells the stream, 4 to 7 the length
_printing = threading.Lock()


def main(arguments: dict[str, Any]) -> None:
    """Print the services there are; then, sorted by time, what was said; then what is being said.

    `arguments`: project, services (empty: all), lines (the last so many of each, 0: all), since
    (Unix time, 0: from the start), follow. An empty line stands between the two.
    """
    try:
        listed = docker.containers(arguments["project"])
    except docker.EngineError as error:
        emit({"error": f"Docker's engine does not answer: {error}"})
        return
    emit({"services": sorted({docker.service(each) for each in listed})})
    chosen = [each for each in listed if wanted(arguments, docker.service(each))]
    tails = [list(said(each, arguments["since"], arguments["lines"] or "all")) for each in chosen]
    for entry in heapq.merge(*tails, key=lambda entry: entry["time"]):
        emit(entry)
    emit(None)
    if arguments["follow"]:
        threading.Thread(target=end_with_input, daemon=True).start()
        last = {
            each["Id"]: tail[-1]["time"] for each, tail in zip(chosen, tails, strict=True) if tail
        }
        Followers(arguments, last).run()


def wanted(arguments: dict[str, Any], service: str) -> bool:
    """Tell whether a service's log is asked for."""
    return not arguments["services"] or service in arguments["services"]


def emit(entry: Any) -> None:
    """Print an entry; end at once if nobody reads it."""
    try:
        with _printing:
            sys.stdout.write("\n" if entry is None else json.dumps(entry) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)


def end_with_input() -> None:
    """End when the input does: who asked is gone."""
    sys.stdin.read()
    os._exit(0)


def said(
    container: dict[str, Any], since: str | float, lines: int | str = "all", follow: bool = False
) -> Iterator[dict[str, str]]:
    """Yield what a container said since a time: service, time, text (a line)."""
    query = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": lines, "follow": int(follow)}
    path = f"/containers/{container['Id']}/logs"
    service = docker.service(container)
    try:
        response = docker.request(path, timeout_s=None if follow else 30, since=since, **query)
        for moment, text in entries(response):
            yield {"service": service, "time": moment, "text": text}
    except docker.GoneError:
        return


def entries(response: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Yield time and text of each line. The engine cuts long lines: they are put together again."""
    unfinished: dict[int, tuple[str, bytes]] = {}
    while len(header := response.read(HEADER)) == HEADER:
        content = response.read(int.from_bytes(header[4:], "big"))
        stamp, _, part = content.partition(b" ")
        moment, begun = unfinished.pop(header[0], (stamp.decode(errors="replace"), b""))
        if not part.endswith(b"\n"):
            unfinished[header[0]] = (moment, begun + part)
            continue
        yield moment, (begun + part).rstrip(b"\r\n").decode(errors="replace")
    for moment, begun in unfinished.values():
        yield moment, begun.decode(errors="replace")


def unix_time(moment: str) -> str:
    """Return an entry's time as seconds since 1970, with its nanoseconds."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{calendar.timegm(time.strptime(whole, '%Y-%m-%dT%H:%M:%S'))}.{fraction or 0}"


class Followers:
    """A thread for each running container of the services that are asked for."""

    def __init__(self, arguments: dict[str, Any], last: dict[str, str]) -> None:
        self._arguments = arguments
        self._last = last  # by container: time of its last entry
        self._threads: dict[str, threading.Thread] = {}

    def run(self) -> None:
        """Follow what runs, and each container that starts from now on, until the engine ends."""
        labels = [f"{docker.LABEL}.project={self._arguments['project']}"]
        labels.append(f"{docker.LABEL}.oneoff=False")
        filters = {"type": ["container"], "event": ["start"], "label": labels}
        events = docker.request("/events", timeout_s=None, filters=json.dumps(filters))
        for container in docker.containers(self._arguments["project"]):
            if container["State"] == "running" and self._wanted(container):
                self._follow(container)
        for line in events:
            actor = json.loads(line)["Actor"]
            container = {"Id": actor["ID"], "Labels": actor["Attributes"]}
            if self._wanted(container):
                self._follow(container)

    def _wanted(self, container: dict[str, Any]) -> bool:
        return wanted(self._arguments, docker.service(container))

    def _follow(self, container: dict[str, Any]) -> None:
        before = self._threads.get(container["Id"])

        def work() -> None:
            if before is not None:  # of the same container, before it was started again
                before.join()
            last = self._last.get(container["Id"], "")
            since = unix_time(last) if last else self._arguments["since"]
            for entry in said(container, since, follow=True):
                if entry["time"] > last:
                    self._last[container["Id"]] = entry["time"]
                    emit(entry)

        thread = threading.Thread(target=work, daemon=True)
        self._threads[container["Id"]] = thread
        thread.start()
