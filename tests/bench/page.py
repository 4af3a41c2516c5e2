"""doc/benchmarks.md, made from the results."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.figure import Baseline, Figure
from tests.bench.results import Results, Section

# What stands below this line is written by hand and kept.
BY_HAND = "## Where the misses go"

INTRODUCTION = """\
Each figure is the median of its runs, with the smallest and the largest. Where there is one, a
baseline was taken in the same run, by turns with the figure, so that a neighbour's load hits both.
The ratio is that of the medians; in brackets the ratios of single rounds. **missed** marks what
falls short of what it is to reach. `make bench ONLY=s3,mlflow` takes some subjects anew and keeps
the others."""

HEAD = [
    "| what | median | spread | runs | against | ratio | to reach | how |",
    "|---|---|---|---|---|---|---|---|",
]


def number(value: float) -> str:
    """Write a number with three digits, or all before the point."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def spread(values: list[float]) -> str:
    """Write the smallest and the largest of several; nothing for one alone."""
    return f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""


def ratio(figure: Figure, baseline: Baseline) -> str:
    """Write the ratio of the medians and how far single rounds are from it."""
    rounds = [
        value / other for value, other in zip(figure.values, baseline.values, strict=False) if other
    ]
    between = f" ({spread(rounds)})" if len(rounds) > 1 else ""
    return f"{number(figure.median / baseline.median)}{between}"


def row(figure: Figure) -> str:
    """Write a figure as a row of its table."""
    baseline = figure.baseline
    reach = []
    if figure.at_most is not None:
        reach.append(f"≤ {figure.at_most:g} {figure.unit}")
    against = of = ""
    if baseline is not None:
        against = f"{baseline.what}: {number(baseline.median)} {figure.unit}"
        if len(baseline.values) > 1:
            against += f" ({spread(baseline.values)})"
        of = ratio(figure, baseline)
        if baseline.at_least is not None:
            reach.append(f"ratio ≥ {baseline.at_least:g}")
        if baseline.at_most is not None:
            reach.append(f"ratio ≤ {baseline.at_most:g}")
    cells = [
        figure.what,
        ("**missed** " if figure.missed else "") + f"{number(figure.median)} {figure.unit}",
        spread(figure.values),
        str(len(figure.values)),
        against,
        of,
        ", ".join(reach),
        figure.note,
    ]
    return f"| {' | '.join(cells)} |"


def table(title: str, section: Section) -> list[str]:
    """Write the figures of a subject."""
    taken = f"{section.day}, commit {section.commit}"
    if section.load is not None:
        taken += f", load average before it {section.load:.1f}"
    return [f"## {title}", "", f"{taken}.", "", *HEAD, *map(row, section.figures), ""]


def page(results: Results, titles: Mapping[str, str], before: str) -> str:
    """Write the page as Markdown.

    Args:
        results: what was measured.
        titles: subject → heading of its table, in the order in which they are to stand.
        before: the page as it was; what is written by hand in it stays.
    """
    described = "; ".join(f"{aspect} {value}" for aspect, value in results.machine.items())
    lines = ["# Benchmarks", "", f"Measured by `make bench`: {described}.", "", INTRODUCTION, ""]
    for name, title in titles.items():
        if name in results.sections:
            lines += table(title, results.sections[name])
    _, mark, by_hand = before.partition(BY_HAND)
    return "\n".join(lines) + (f"\n{mark}{by_hand.rstrip()}\n" if mark else "")
