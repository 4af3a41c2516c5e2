"""What is in a cluster beside what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from dap.stack.drift import differing


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
    wanted: Any, there: Any, places: list[str]
) -> None:
    assert list(differing(wanted, there)) == places
