"""Metrics of two runs agree or do not, value by value."""

import math

import pytest
from dap.reproduce.compare import compare

CURVE = [(0, 0.5), (1, 0.25)]


def verdict(
    then: list[tuple[int, float]], now: list[tuple[int, float]], tolerance: float = 0
) -> tuple[bool, float | None]:
    [metric] = compare({"loss": then}, {"loss": now}, tolerance)
    return metric.agrees, metric.difference


def test_equal_values_agree() -> None:
    assert verdict(CURVE, list(CURVE)) == (True, 0)


def test_the_last_bit_counts_without_a_tolerance_and_not_with_one() -> None:
    now = [(0, 0.5), (1, math.nextafter(0.25, 1))]
    agrees, difference = verdict(CURVE, now)
    assert not agrees
    assert difference is not None
    assert 0 < difference < 1e-15
    assert verdict(CURVE, now, 1e-12)[0]


def test_a_value_in_the_middle_counts() -> None:
    agrees, difference = verdict(CURVE, [(0, 0.4), (1, 0.25)])
    assert not agrees
    assert difference == pytest.approx(0.2)


@pytest.mark.parametrize("now", [[], CURVE[:1], [*CURVE, (1, 0.25)], [(0, 0.5), (2, 0.25)]])
def test_other_steps_never_agree(now: list[tuple[int, float]]) -> None:
    assert verdict(CURVE, now, tolerance=1) == (False, None)


def test_no_number_agrees_with_no_number_alone() -> None:
    assert verdict([(0, math.nan)], [(0, math.nan)])[0]
    assert not verdict([(0, math.nan)], [(0, 1.0)], 1)[0]
    assert verdict([(0, math.inf)], [(0, math.inf)])[0]
    assert not verdict([(0, math.inf)], [(0, -math.inf)], 1)[0]


def test_a_metric_of_one_run_alone_is_told_and_the_machines_are_left_out() -> None:
    found = compare({"a": CURVE, "system/cpu": CURVE}, {"b": CURVE}, 0)
    assert [(metric.name, metric.then, metric.now, metric.agrees) for metric in found] == [
        ("a", 0.25, None, False),
        ("b", None, 0.25, False),
    ]
