"""Tells what was done, without ever telling a secret."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

HIDDEN = "******"
SHORTEST_HIDDEN = 6


@dataclass
class Report:
    """Prints steps and failures as they happen, from any thread, and counts them."""

    secrets: Iterable[str]
    changed: int = 0
    ok: int = 0
    failed: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self.hide()

    def hide(self, *more: str) -> None:
        """Hide further secrets from now on."""
        # The longest first: a secret may be part of another.
        long = {secret for secret in (*self.secrets, *more) if len(secret) >= SHORTEST_HIDDEN}
        self.secrets = sorted(long, key=len, reverse=True)

    def step(self, folder: str, what: str, *, changed: bool, check: bool) -> None:
        """Count and print a step."""
        with self._lock:
            if changed:
                self.changed += 1
            else:
                self.ok += 1
        word = ("would change" if check else "changed") if changed else "ok"
        self.line(f"{folder}: {word}: {what}")

    def failure(self, folder: str, why: str) -> None:
        """Note that a folder failed, and print why."""
        with self._lock:
            self.failed.append(folder)
        self.line(f"{folder}: failed: {why}")

    def line(self, text: str) -> None:
        """Print a line with every secret hidden."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        print(text, flush=True)

    def summary(self) -> str:
        """Return the last line of the output: JSON."""
        result: dict[str, int | list[str]] = {"changed": self.changed, "ok": self.ok}
        if self.failed:
            result["failed"] = sorted(self.failed)
        return json.dumps(result)
