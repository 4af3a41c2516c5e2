"""How much memory containers take while something goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker

EVERY_S = 0.2
# cgroup v2 and v1 name them differently. Files that are cached don't count: they make way.
TAKEN = (("anon", "shmem"), ("total_rss", "total_shmem"), ("rss", "shmem"))


@contextmanager
def growth(containers: Mapping[str, str]) -> Iterator[dict[str, int]]:
    """Watch containers, name → id; at the end the result holds by how many bytes each has grown.

    Counted is what can't be dropped: the processes' own memory and files in memory.
    """
    client = docker.from_env()
    found = {name: client.containers.get(identifier) for name, identifier in containers.items()}
    before = {name: _taken(container) for name, container in found.items()}
    highest = dict(before)
    end = threading.Event()

    def watch() -> None:
        while not end.wait(EVERY_S):
            for name, container in found.items():
                highest[name] = max(highest[name], _taken(container))

    watcher = threading.Thread(target=watch)
    watcher.start()
    result: dict[str, int] = {}
    try:
        yield result
    finally:
        end.set()
        watcher.join()
        client.close()
        result.update({name: highest[name] - before[name] for name in found})


def _taken(container: Any) -> int:
    figures = container.stats(stream=False, one_shot=True)["memory_stats"].get("stats", {})
    for names in TAKEN:
        if names[0] in figures:
            return sum(int(figures.get(name, 0)) for name in names)
    return 0
