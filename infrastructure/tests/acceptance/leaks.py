"""Finds secrets in text: as they are, and in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from functools import cached_property

SHORTEST = 8  # characters; a shorter one stands in text by chance
LINE = 40  # characters; PEM's lines are 64 to 70


class Leaks:
    """Looks for secrets, given as name → value."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    @cached_property
    def _parts(self) -> dict[str, tuple[bytes, ...]]:
        """Name → what gives the secret away."""
        parts = {name: telling(value) for name, value in self._secrets.items()}
        return {
            name: (part.encode(), *in_base64(part.encode())) for name, part in parts.items() if part
        }

    def names(self, content: bytes) -> list[str]:
        """Return the names of the secrets that are in a text."""
        return [
            name for name, parts in self._parts.items() if any(part in content for part in parts)
        ]

    def where(self, texts: Iterable[tuple[str, bytes]]) -> list[str]:
        """Return a sentence for each text, given with its place, that holds secrets."""
        found = ((place, self.names(content)) for place, content in texts)
        return [f"{place} shows the secret {', '.join(names)}" for place, names in found if names]


def telling(value: str) -> str:
    """Return the part of a secret to look for; an empty text where there is none to tell apart.

    Of a key of many lines that is the last long one: keys begin alike.
    """
    lines = value.strip().splitlines()
    if len(lines) > 1:
        return next((line for line in reversed(lines) if len(line) >= LINE), "")
    return value if len(value) >= SHORTEST else ""


def in_base64(part: bytes) -> tuple[bytes, ...]:
    """Return how base64 of any text that holds `part` shows it: one form for each offset."""
    forms = []
    for offset in range(3):
        whole = part[(3 - offset) % 3 :]
        forms.append(base64.b64encode(whole[: len(whole) // 3 * 3]))
    return tuple(forms)
