"""Keeps secrets out of what is shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

MASK = "[masked]"
_SHORTEST = 8  # less is found in ordinary words


def masking(secrets: Mapping[str, str]) -> Callable[[str], str]:
    """Return what replaces secrets in a text: as they are, quoted in JSON or a URL, in base64.

    Args:
        secrets: name to value; certificates are public and stay.
    """
    hidden = (
        value
        for name, value in secrets.items()
        if not name.startswith("tls/") or name.endswith("key")
    )
    forms = {form for value in hidden for form in _forms(value) if len(form) >= _SHORTEST}
    if not forms:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def _forms(secret: str) -> Iterator[str]:
    # Texts of several lines are keys; their first and last lines are alike in all keys.
    lines = (line.strip() for line in secret.splitlines())
    for line in lines:
        if line and not line.startswith("-----"):
            yield from (line, quote(line, safe=""))
            yield from (json.dumps(line, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False))
            yield from _base64(line.encode())


def _base64(text: bytes) -> Iterator[str]:
    """Yield what stands for a text in base64, wherever in a longer one it begins.

    Characters that also depend on what is before or after it are left out.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text).decode().rstrip("=")
        middle = encoded[(0, 2, 3)[before] :]
        if (before + len(text)) % 3:
            middle = middle[:-1]
        yield from (middle, middle.translate({43: 45, 47: 95}))
