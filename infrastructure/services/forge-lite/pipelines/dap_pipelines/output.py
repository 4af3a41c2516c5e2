"""Understands what gitlab-ci-local prints: which job a line belongs to, and how jobs go.

Every line of a job starts with its name; what the job itself prints comes after `NAME > ` or
`NAME $ `, so a job can't feign another's progress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ILLEGAL = {
    "include",
    "local_configuration",
    "image",
    "services",
    "stages",
    "before_script",
    "default",
    "after_script",
    "variables",
    "cache",
    "workflow",
    "page:deploy",
}
STARTING = re.compile(r"starting (?P<image>\S+) \((?P<stage>.+)\)")
FINISHED = re.compile(
    r"finished in (?P<time>.+?)(?:  (?P<how>WARN|FAIL) (?P<exit>\d+) ?)?(?P<rest> after_script)?"
)

ADDRESS = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}]")


def links(text: str, forge: str) -> list[str]:
    """Return the addresses in a line that are of the platform's other services, as a run's is.

    `forge` is the forge's own address.
    """
    if "://" not in text:
        return []
    own = urlsplit(forge).netloc
    domain = own.partition(".")[2]
    return [
        address
        for address in ADDRESS.findall(text)
        if (host := urlsplit(address).netloc) != own and host.partition(".")[2] == domain
    ]


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: starting, text, note, finished."""

    kind: str
    job: str
    text: str = ""
    stage: str = ""
    image: str = ""
    how: str = "success"
    exit: int = 0


def planned(expanded: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and stage of the jobs in an expanded `.gitlab-ci.yml`, in the order of stages."""
    stages = list(expanded.get("stages") or [])
    jobs = [
        (name, str(data.get("stage") or "test"))
        for name, data in expanded.items()
        if name not in ILLEGAL and not name.startswith(".") and isinstance(data, dict)
    ]
    return sorted(jobs, key=lambda job: stages.index(job[1]) if job[1] in stages else len(stages))


def conditional(expanded: dict[str, Any]) -> set[str]:
    """Return the jobs in an expanded `.gitlab-ci.yml` that have rules, which may leave them out."""
    names = [name for name, _ in planned(expanded)]
    return {name for name in names if expanded[name].get("rules")}


class Reader:
    """Turns lines into events. `names` are the names of the planned jobs."""

    def __init__(self, names: Iterable[str]) -> None:
        self._planned = set(names)
        self._started: list[str] = []
        self._last = ""

    def read(self, line: str, continues: bool = False) -> Event | None:
        """Return the event of a line, or None for what is of no job.

        `continues` says that the line is a further piece of the one before.
        """
        if continues:
            return Event("text", self._last, line) if self._last else None
        match = re.match(r"(?P<name>.+?) starting ", line)
        if match:
            name = match["name"]
            found = STARTING.fullmatch(line[len(name) + 1 :])
            if found and (name in self._planned or name.split(": [")[0] in self._planned):
                self._started.append(name)
                # The longest first: one name may be the start of another.
                self._started.sort(key=len, reverse=True)
                return Event("starting", name, stage=found["stage"], image=found["image"])
        for name in self._started:
            if line.startswith(f"{name} "):
                rest = line[len(name) + 1 :]
                if rest.startswith(("> ", "$ ")) or rest == ">":
                    self._last = name
                    text = rest[2:] if rest.startswith(">") else rest
                    return Event("text", name, text)
                return self._progress(name, rest)
        return None

    def _progress(self, name: str, rest: str) -> Event:
        found = FINISHED.fullmatch(rest)
        if found is None or found["rest"]:
            return Event("note", name, rest)
        how = {"WARN": "warning", "FAIL": "failed", None: "success"}[found["how"]]
        return Event("finished", name, rest, how=how, exit=int(found["exit"] or 0))
