"""What a subject of the benchmarks is given: how often to measure, on what, and where to put it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from demo.access import Clock
from demo.flow import PLATFORM, deploy
from tests.bench.figure import Figure
from tests.bench.running import Running


@cache
def deployed() -> Running:
    """Deploy the demo's platform, once for all subjects."""
    deploy(PLATFORM, Clock())
    return Running(PLATFORM)


@dataclass
class Bench:
    """The figures of a subject while they are taken.

    Attributes:
        repeats: runs of what takes seconds.
        figures: what was measured.
    """

    repeats: int
    figures: list[Figure] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Runs of what takes a fraction of a second."""
        return 3 * self.repeats

    @property
    def platform(self) -> Running:
        """The demo's platform as this checkout makes it; deployed when first asked for."""
        return deployed()

    def add(self, *figures: Figure) -> None:
        """Keep figures and show them."""
        for figure in figures:
            self.figures.append(figure)
            baseline = figure.baseline
            against = (
                ""
                if baseline is None
                else f"; {baseline.what} {baseline.median:.3g}: ratio {figure.ratio:.3f}"
            )
            missed = " MISSED" if figure.missed else ""
            print(f"{figure.what}: {figure.median:.3g} {figure.unit}{against}{missed}", flush=True)
