"""The requests that the stand-in recorded, and the lists of all kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

LIST = Path(__file__).parent / "requests.txt"
# Those of `make reproduce`; all others are of content.
AGAIN = LIST.with_name("requests-reproduce.txt")
# What stands in a path for a thing: number, commit, path of a project or branch, variable's name.
THINGS = re.compile(r"/(\d+|[0-9a-f]{40}|[a-z0-9.-]+%2F[\w-]+|[A-Z][A-Z0-9_]+)(?=/|$)")
GROUP = re.compile(r"(?<=/groups/)[^/]+")
Kind = tuple[str, ...]


def kind(line: str) -> Kind:
    """What tells requests apart: METHOD PATH, and the names of parameters."""
    method, path, rest = line.split(" ", 2)
    decoder = json.JSONDecoder()
    query, end = decoder.raw_decode(rest)
    body = json.loads(rest[end:])
    path = GROUP.sub("{id}", THINGS.sub("/{id}", path))
    return method, path, *sorted(query), "body", *sorted(body)


def kinds(lines: Iterable[str]) -> dict[Kind, str]:
    """Return each kind of request with the first of it."""
    found: dict[Kind, str] = {}
    for line in lines:
        found.setdefault(kind(line), line)
    return found


def listed(file: Path = LIST) -> set[Kind]:
    """Return the kinds that a list has."""
    return {kind(line) for line in file.read_text().splitlines()}
