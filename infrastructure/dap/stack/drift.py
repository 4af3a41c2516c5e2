"""Where what is in a cluster is not what was asked for; what the cluster adds is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dap.stack.quantity import quantity

# Quantities, which the API writes in its own form.
_AMOUNTS = ("cpu", "memory", "storage")


def differing(wanted: object, there: object, path: str = "") -> Iterator[str]:
    """Yield the places where what is there is not what was asked for, and nothing of their values.

    Args:
        wanted: an object as it was asked for, or a part of one.
        there: the same as the cluster has it.
        path: of the part.
    """
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for key, value in wanted.items():
            if key in there or not _is_left_out(value):
                yield from differing(value, there.get(key), f"{path}.{key}" if path else key)
    elif isinstance(wanted, list | tuple) and isinstance(there, list | tuple):
        if len(wanted) != len(there):
            yield path
            return
        for index, (one, other) in enumerate(zip(wanted, there, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif wanted != there and not _is_same_amount(path, wanted, there):
        yield path


def _is_left_out(value: object) -> bool:
    """Tell whether the API leaves a value out."""
    return value in (None, {}, [], "", False, ())


def _is_same_amount(path: str, one: Any, other: Any) -> bool:
    if not path.endswith(_AMOUNTS) or None in (one, other):
        return False
    return quantity(one) == quantity(other)
