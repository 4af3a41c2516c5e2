"""Keeps secrets out of logs."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

SHORTEST = 8
MASK = b"[masked]"


class Mask:
    """Replaces secrets, and what they look like in base64 at any offset, in lines of bytes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[bytes] = set()
        for secret in secrets:
            for line in secret.splitlines():
                text = line.strip().encode()
                if len(text) >= SHORTEST and not text.startswith(b"-----"):
                    forms |= {text, *_base64(text)}
        self.longest = max(map(len, forms), default=0)
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, data: bytes) -> bytes:
        """Return the bytes with every secret replaced."""
        return self._pattern.sub(MASK, data) if self._pattern else data


def _base64(text: bytes) -> set[bytes]:
    forms = set()
    for offset in range(3):
        # Characters that also depend on what stands before or after the secret are left out.
        encoded = base64.b64encode(b"\0" * offset + text)
        start = (0, 2, 3)[offset]
        end = len(encoded) if (offset + len(text)) % 3 == 0 else -4 + ((offset + len(text)) % 3)
        middle = encoded[start:end].rstrip(b"=")
        if len(middle) >= SHORTEST:
            forms |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return forms


class Lines:
    """Cuts a stream of bytes into masked lines.

    A line longer than `longest` bytes comes in pieces; a secret across two pieces is masked too.
    """

    def __init__(self, mask: Mask, longest: int = 65536) -> None:
        self._mask = mask
        self._longest = max(longest, 2 * mask.longest)
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Return the lines that are complete now, each with whether its end was reached."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = [(self._mask(line), True) for line in lines]
        if len(self._rest) > self._longest:
            masked = self._mask(self._rest)
            keep = max(1, self._mask.longest)
            found.append((masked[:-keep], False))
            self._rest = masked[-keep:]
        return found

    def close(self) -> list[tuple[bytes, bool]]:
        """Return what is left."""
        rest, self._rest = self._rest, b""
        return [(self._mask(rest), True)] if rest else []
