"""Compose's sizes, durations and processors as Kubernetes writes them."""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:([kmgt])?i?b?)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|h|m|s)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def size_bytes(value: object) -> int:
    """Return the bytes of a size such as `512m`, `1.5gb` or 65536 (powers of 1024).

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError("is no size such as 512m")
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "").lower()])


def quantity(size: int) -> str:
    """Return bytes as a quantity, in the largest unit that leaves it whole."""
    for unit, amount in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size and size % amount == 0:
            return f"{size // amount}{unit}"
    return str(size)


def seconds(value: object) -> float:
    """Return the seconds of a duration such as `500ms`, `1m30s` or `2h`.

    Raises:
        ValueError: it is none.
    """
    text = str(value)
    if not re.fullmatch(f"({_PART.pattern})+", text):
        raise ValueError("is no duration such as 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def whole_seconds(value: object) -> int:
    """Return a duration in whole seconds, rounded up, at least one."""
    return max(1, math.ceil(seconds(value)))


def millicpus(value: object) -> int:
    """Return thousandths of a processor of a number such as 0.5 or "2".

    Raises:
        ValueError: it is none.
    """
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError("is no number of processors") from None
    if not 0 < number < 1e6:
        raise ValueError("is no number of processors")
    return math.ceil(number * 1000)


def cpus(milli: int) -> str:
    """Return thousandths of a processor as a quantity."""
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"
