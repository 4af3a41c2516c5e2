"""What a run is told to have done."""

from __future__ import annotations

from pathlib import Path

from dap.engine.playbook import Outcome

OK = {"event": "ok", "host": "one", "task": "Put the tree", "seconds": 0.4}


def test_changes_keep_host_task_and_order() -> None:
    outcome = Outcome(Path("log"))
    outcome.record({**OK, "changed": True, "changes": ["add a", "remove b"]})
    outcome.record({**OK, "host": "two", "changed": False})
    assert outcome.changes() == [
        {"host": "one", "task": "Put the tree", "change": "add a"},
        {"host": "one", "task": "Put the tree", "change": "remove b"},
    ]
    assert outcome.failures == []


def test_failure_names_host_task_reason_and_remedy() -> None:
    outcome = Outcome(Path("log"))
    outcome.record(
        {**OK, "event": "failed", "msg": "port 443 is in use", "remedy": "stop it", "refused": True}
    )
    (failure,) = outcome.failures
    assert (failure.host, failure.task) == ("one", "Put the tree")
    assert (failure.reason, failure.remedy) == ("port 443 is in use", "stop it")
    assert failure.refused


def test_unreachable_host_is_a_failure_that_is_not_refused() -> None:
    outcome = Outcome(Path("log"))
    outcome.record({**OK, "event": "unreachable", "msg": "no route to host"})
    (failure,) = outcome.failures
    assert "make doctor" in failure.remedy
    assert not failure.refused
