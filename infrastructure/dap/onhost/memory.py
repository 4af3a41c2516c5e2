"""Watches how much memory containers take, until nobody wants to know."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from dap.onhost import docker

EVERY_S = 0.2
# cgroup v2 and v1 name them differently. Files that are cached don't count: they make way.
TAKEN = (("anon", "shmem"), ("total_rss", "total_shmem"), ("rss", "shmem"))


def main(arguments: dict[str, Any]) -> None:
    """Print a line once it watches, and at the input's end by how many bytes each has grown.

    `arguments`: containers (name → id).
    """
    containers: dict[str, str] = arguments["containers"]
    before = {name: taken(each) for name, each in containers.items()}
    highest = dict(before)
    end = threading.Event()
    threading.Thread(target=wait, args=(end,), daemon=True).start()
    print(json.dumps(before), flush=True)
    while not end.wait(EVERY_S):
        for name, each in containers.items():
            highest[name] = max(highest[name], taken(each))
    print(json.dumps({name: highest[name] - before[name] for name in containers}))


def wait(end: threading.Event) -> None:
    """Wait for the end of the input."""
    sys.stdin.read()
    end.set()


def taken(container: str) -> int:
    """Return what can't be dropped, in bytes: memory of its processes and files in memory."""
    try:
        told = docker.get(f"/containers/{container}/stats", stream="false", **{"one-shot": "true"})
    except docker.GoneError:
        return 0
    figures = told["memory_stats"].get("stats", {})
    for names in TAKEN:
        if names[0] in figures:
            return sum(int(figures.get(name, 0)) for name in names)
    return 0
