"""A measured figure: its runs, what it is held against and what it is to reach."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Baseline:
    """The same thing done without what is measured, in the same run.

    Attributes:
        what: what it is.
        values: one of each run, in the figure's unit.
        at_least: smallest ratio of the figure to it that is wanted; nothing if there is none.
        at_most: largest ratio of the figure to it that is wanted; nothing if there is none.
    """

    what: str
    values: list[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        """Median of the runs."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    Attributes:
        what: what it is.
        unit: of its values and of its baseline's.
        values: one of each run.
        note: how it was measured or where it goes.
        at_most: largest median that is wanted; nothing if there is none.
        baseline: what it is held against; nothing if there is nothing of the kind.
    """

    what: str
    unit: str
    values: list[float]
    note: str = ""
    at_most: float | None = None
    baseline: Baseline | None = None

    @property
    def median(self) -> float:
        """Median of the runs."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """Ratio of the median to the baseline's; nothing without a baseline."""
        return None if self.baseline is None else self.median / self.baseline.median

    @property
    def missed(self) -> bool:
        """Whether the figure falls short of what it is to reach."""
        if self.at_most is not None and self.median > self.at_most:
            return True
        if self.baseline is None or self.ratio is None:
            return False
        least, most = self.baseline.at_least, self.baseline.at_most
        too_small = least is not None and self.ratio < least
        return too_small or (most is not None and self.ratio > most)

    def data(self) -> dict[str, Any]:
        """Give the figure as plain data, with what follows from its runs."""
        return {
            **asdict(self),
            "median": self.median,
            "ratio": self.ratio,
            "missed": self.missed,
        }


def restored(data: dict[str, Any]) -> Figure:
    """Make a figure of what `Figure.data` gave."""
    baseline = data["baseline"]
    return Figure(
        data["what"],
        data["unit"],
        data["values"],
        data["note"],
        data["at_most"],
        None if baseline is None else Baseline(**baseline),
    )
