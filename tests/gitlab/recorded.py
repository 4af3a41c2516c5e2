"""The requests that the stand-in recorded, and the list of all kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

LIST = Path(__file__).parent / "requests.txt"
# What stands in a path for a thing: its number, a project's path, a variable's name.
THINGS = re.compile(r"/(\d+|[a-z0-9-]+%2F\w+|[A-Z][A-Z0-9_]+)(?=/|$)")
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


def listed() -> set[Kind]:
    """Return the kinds that requests.txt has."""
    return {kind(line) for line in LIST.read_text().splitlines()}
