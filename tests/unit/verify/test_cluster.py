"""A cluster as acceptance tests ask it: what is compared, and what is made of what pods say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from acceptance.cluster import amount, processes_of

from tests.paths import ROOT


@pytest.fixture(scope="module")
def objects() -> ModuleType:
    """The module with the check of objects, which is no part of a package."""
    place = ROOT / "infrastructure" / "tests" / "on_cluster" / "test_objects.py"
    spec = importlib.util.spec_from_file_location("on_cluster_objects", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def differing(objects: ModuleType) -> Callable[[object, object], list[str]]:
    found: Callable[[object, object], Iterator[str]] = objects.differing
    return lambda wanted, there: list(found(wanted, there))


@pytest.mark.parametrize(
    ("wanted", "there", "places"),
    [
        ({"a": 1}, {"a": 1, "added": 2}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": [{"c": "x"}]}}, {"a": {"b": [{"c": "y", "d": 1}]}}, ["a.b[0].c"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": {}, "b": [], "c": False}, {}, []),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
        ({"a": True}, {}, ["a"]),
        ({"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1"}}, []),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}, []),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "2Gi"}}, ["limits.memory"]),
        ({"other": "1000m"}, {"other": "1"}, ["other"]),
    ],
)
def test_what_is_asked_for_is_compared_and_nothing_that_the_cluster_adds(
    differing: Callable[[object, object], list[str]], wanted: Any, there: Any, places: list[str]
) -> None:
    assert differing(wanted, there) == places


def test_processes_come_with_whom_they_run_as_and_their_environment() -> None:
    told = "1\nit's a server\n\t11001\t11001\t0\t11001\nYQBi\nQT0x\n7\nleft\n 5 5 5 5\n\n\n"
    first, second = processes_of(told)
    assert (first.pid, first.name, first.users) == (1, "it's a server", (11001, 11001, 0, 11001))
    assert (first.command, first.environment) == (b"a\0b", b"A=1")
    assert (second.pid, second.command, second.environment) == (7, b"", b"")


@pytest.mark.parametrize(("said", "is_"), [("500m", 0.5), ("2", 2), ("1Gi", 2**30), (0, 0)])
def test_quantities(said: str | int, is_: float) -> None:
    assert float(amount(said)) == is_
