"""Where what is in a cluster is not what was asked for; what the cluster adds is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dap.stack.quantity import quantity

if TYPE_CHECKING:
    from dap.cluster import Objects
    from dap.stack.engine import Change, Engine
    from dap.stack.live import Live

# Quantities, which the API writes in its own form.
_AMOUNTS = ("cpu", "memory", "storage")


def put_right(
    engine: Engine, live: Live, made: Objects, there: Objects, tell: Callable[[str], None]
) -> tuple[Change, ...]:
    """Put right what others have changed or removed in a cluster; what was changed by that.

    Args:
        engine: of its stack.
        live: its namespace.
        made: objects that the stack is given.
        there: the same, as they are to be there.
        tell: gets a line for each object that differs.
    """
    found = live.drift(there)
    if not found:
        return ()
    tell("what is in the cluster is not what was made there:")
    for each in found:
        tell(each)
    return engine.up(made, repair=True).changes


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
