"""Timing side by side: this machine is shared, so only figures of the same minute compare."""

import time
from collections.abc import Callable, Mapping


def seconds(action: Callable[[], object]) -> float:
    """Time an action in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def rate(action: Callable[[], object], times: int) -> float:
    """Do an action over and over; how often it was done a second."""
    start = time.perf_counter()
    for _ in range(times):
        action()
    return times / (time.perf_counter() - start)


def interleave(rounds: int, ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure each way once a round, by turns the first: drift and neighbours hit all alike.

    Args:
        rounds: how many values of each way.
        ways: what measures once and gives the value.
    """
    values: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            values[name].append(ways[name]())
    return values
