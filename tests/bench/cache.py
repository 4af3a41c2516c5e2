"""What builds leave in the engine's build cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demo.project import run


def entries() -> set[str]:
    """Return the ids of all entries."""
    lines = run("docker", "buildx", "du").splitlines()
    # A table, and below it a summary of lines with a colon; mutable entries have a star.
    rows = [line.split() for line in lines[1:]]
    return {row[0].rstrip("*") for row in rows if row and not row[0].endswith(":")}


@contextmanager
def restored() -> Iterator[None]:
    """Remove what comes into the cache meanwhile: a cold build leaves its packages once more."""
    before = entries()
    try:
        yield
    finally:
        left = entries() - before
        # What others are made of goes after them, so each round removes some.
        while left:
            for entry in left:
                run("docker", "buildx", "prune", "--all", "--force", "--filter", f"id={entry}")
            now = entries() - before
            if now == left:
                break
            left = now
