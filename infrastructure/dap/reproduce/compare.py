"""Compares the metrics of two runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dap.reproduce.model import History

# What the machine did meanwhile is no result, and never the same twice.
MACHINE = "system/"


@dataclass(frozen=True)
class Metric:
    """A metric then and now.

    Attributes:
        name: its name.
        then: its last value in the run; None: it has none.
        now: its last value in the reproduction; None: it has none.
        values: how many values the run has of it, over its steps.
        difference: largest relative difference of two values of one step (0 to 2); None where
            there are not the same steps.
        agrees: whether all values are equal, or within the tolerance.
    """

    name: str
    then: float | None
    now: float | None
    values: int
    difference: float | None
    agrees: bool


def compare(
    then: Mapping[str, History], now: Mapping[str, History], tolerance: float
) -> tuple[Metric, ...]:
    """Compare all values of all metrics, at each step.

    Args:
        then: name of each metric of the run and its values.
        now: the same of the reproduction.
        tolerance: relative difference that still counts as equal; 0: none.
    """
    names = sorted(name for name in {*then, *now} if not name.startswith(MACHINE))
    return tuple(_metric(name, then.get(name, ()), now.get(name, ()), tolerance) for name in names)


def _metric(name: str, then: History, now: History, tolerance: float) -> Metric:
    difference = None
    if [step for step, _ in then] == [step for step, _ in now]:
        pairs = zip(then, now, strict=True)
        difference = max((_apart(old, new) for (_, old), (_, new) in pairs), default=0.0)
    return Metric(
        name,
        then[-1][1] if then else None,
        now[-1][1] if now else None,
        len(then),
        difference,
        difference is not None and difference <= tolerance,
    )


def _apart(old: float, new: float) -> float:
    """Relative difference of two values; that of no number to no number is none."""
    if old == new or (math.isnan(old) and math.isnan(new)):
        return 0.0
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.inf
    return abs(old - new) / max(abs(old), abs(new))
