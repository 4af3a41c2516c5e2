"""`make bench`: measure, write build/bench.json and doc/benchmarks.md."""

import argparse
import json
import time
from typing import Any

from tests.bench.figures import Bench, Figure, machine, measure
from tests.paths import ROOT

PAGE = ROOT / "doc" / "benchmarks.md"
RESULT = ROOT / "build" / "bench.json"


def row(figure: Figure) -> str:
    """Write a figure as a row of the table."""
    digits = 0 if figure.median >= 100 else 1 if figure.median >= 10 else 2
    spread = f"{min(figure.values):.{digits}f} to {max(figure.values):.{digits}f}"
    reach = "" if figure.reach is None else f"≤ {figure.reach:g}"
    missed = figure.reach is not None and figure.median > figure.reach
    value = f"{figure.median:.{digits}f} {figure.unit}"
    return (
        f"| {figure.what} | {'**missed** ' if missed else ''}{value} "
        f"| {spread if len(figure.values) > 1 else ''} | {len(figure.values)} | {reach} "
        f"| {figure.note} |"
    )


def page(bench: Bench, facts: dict[str, str], day: str) -> str:
    """Write the figures as Markdown."""
    described = "; ".join(f"{key} {value}" for key, value in facts.items())
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"Measured by `make bench` on {day}: {described}.",
            "Median and spread of the runs; a figure without a spread was taken once.",
            "",
            "| what | median | spread | runs | to reach | how |",
            "|---|---|---|---|---|---|",
            *(row(figure) for figure in bench.figures),
            "",
        ]
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each cheap figure")
    bench = Bench(parser.parse_args().repeats)
    measure(bench)
    facts, day = machine(), time.strftime("%Y-%m-%d")
    RESULT.parent.mkdir(exist_ok=True)
    data: dict[str, Any] = {
        "day": day,
        "machine": facts,
        "figures": [figure.data() for figure in bench.figures],
    }
    RESULT.write_text(json.dumps(data, indent=2) + "\n")
    PAGE.write_text(page(bench, facts, day), encoding="utf-8")
    print(f"written: {RESULT.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
