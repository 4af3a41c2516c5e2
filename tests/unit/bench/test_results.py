"""Figures, what they miss, and what a later run keeps of an earlier one."""

import json
from pathlib import Path

import pytest

from tests.bench.figure import Baseline, Figure, restored
from tests.bench.page import BY_HAND, page, row
from tests.bench.results import Results, Section, read

MACHINE = {"processor": "2 x Made Up", "memory": "24 GiB", "kernel": "6.1"}
PROXY = Figure("put", "MiB/s", [80.0, 90.0, 70.0], "TLS", None, Baseline("direct", [100.0], 0.85))


def section(*figures: Figure) -> Section:
    return Section("2026-11-22", "abc1234", 0.25, list(figures))


@pytest.mark.parametrize(
    ("figure", "missed"),
    [
        (Figure("a", "s", [1.0, 9.0, 2.0], at_most=2), False),
        (Figure("a", "s", [1.0, 9.0, 2.1], at_most=2), True),
        (Figure("a", "s", [5.0]), False),
        (Figure("a", "1/s", [85.0], baseline=Baseline("b", [100.0], 0.85)), False),
        (Figure("a", "1/s", [84.0], baseline=Baseline("b", [100.0], 0.85)), True),
        (Figure("a", "1/s", [10.0], baseline=Baseline("b", [100.0])), False),
    ],
)
def test_the_median_is_held_against_what_is_to_be_reached(figure: Figure, missed: bool) -> None:
    assert figure.missed is missed
    assert ("**missed**" in row(figure)) is missed


def test_a_row_tells_figure_baseline_and_ratio() -> None:
    assert row(PROXY) == (
        "| put | **missed** 80.0 MiB/s | 70.0 to 90.0 | 3 | direct: 100 MiB/s | 0.80 "
        "| ratio ≥ 0.85 | TLS |"
    )


def test_the_ratio_of_single_rounds_is_that_of_what_was_taken_together() -> None:
    figure = Figure("a", "s", [1.0, 4.0], baseline=Baseline("b", [2.0, 2.0]))
    assert "1.25 (0.50 to 2.00)" in row(figure)


def test_figures_come_back_as_they_were_kept() -> None:
    for figure in (PROXY, Figure("a", "s", [1.0], at_most=2)):
        assert restored(json.loads(json.dumps(figure.data()))) == figure


def test_a_later_run_keeps_the_subjects_that_it_does_not_measure(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    first = Results(MACHINE, {"s3": section(PROXY), "cold": section(Figure("a", "s", [1.0]))})
    first.write(file)
    second = read(file, {**MACHINE, "kernel": "6.12"})
    second.sections["s3"] = section(Figure("new", "s", [2.0]))
    second.write(file)
    third = read(file, MACHINE)
    assert third.sections["cold"] == first.sections["cold"]
    assert [figure.what for figure in third.sections["s3"].figures] == ["new"]


def test_figures_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    Results(MACHINE, {"s3": section(PROXY)}).write(file)
    assert read(file, {**MACHINE, "memory": "8 GiB"}).sections == {}


def test_the_page_has_a_table_a_subject_and_keeps_what_is_written_by_hand() -> None:
    results = Results(MACHINE, {"s3": section(PROXY), "cold": section(Figure("a", "s", [1.0]))})
    titles = {"cold": "From nothing", "demo": "The demo", "s3": "Objects"}
    first = page(results, titles, "an older page without that part")
    assert [line for line in first.splitlines() if line.startswith("## ")] == [
        "## From nothing",
        "## Objects",
    ]
    assert "2 x Made Up" in first
    assert "2026-11-22, commit abc1234, load average before it 0.2." in first
    by_hand = f"{BY_HAND}\n\nTo the disk.\n"
    second = page(results, titles, f"{first}\n{by_hand}")
    assert second == f"{first}\n{by_hand}"
    assert page(results, titles, second) == second
