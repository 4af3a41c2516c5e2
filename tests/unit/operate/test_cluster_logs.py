"""Which logs of pods are read, and when their lines were said."""

from __future__ import annotations

from typing import Any

from dap.stack.logs import Run, in_utc, runs


def pod(name: str, **statuses: Any) -> dict[str, Any]:
    """Return a pod of the service portal."""
    labels = {"app.kubernetes.io/name": "portal"}
    return {
        "metadata": {"name": name, "uid": f"uid of {name}", "labels": labels},
        "status": statuses,
    }


def container(name: str, state: str, restarts: int = 0) -> dict[str, Any]:
    """Return what a pod says of a container."""
    return {"name": name, "state": {state: {}}, "restartCount": restarts}


def test_the_run_before_the_last_is_read_too() -> None:
    one, again = runs([pod("a", containerStatuses=[container("portal", "running", 3)])])
    assert (one.number, one.previous, again.number, again.previous) == (2, True, 3, False)
    assert one.service == "portal"


def test_what_waits_to_be_started_anew_has_the_log_of_its_last_run() -> None:
    (only,) = runs([pod("a", containerStatuses=[container("portal", "waiting", 1)])])
    assert (only.number, only.previous) == (0, True)


def test_what_never_ran_has_no_log() -> None:
    assert runs([pod("a", containerStatuses=[container("portal", "waiting")]), pod("b")]) == []


def test_jobs_of_pipelines_are_no_service() -> None:
    job = pod("runner-1", containerStatuses=[container("build", "running")])
    del job["metadata"]["labels"]
    assert runs([job]) == []


def test_containers_before_the_service_count() -> None:
    found = runs([
        pod(
            "a",
            initContainerStatuses=[container("wait", "terminated")],
            containerStatuses=[container("portal", "waiting")],
        )
    ])  # fmt: skip
    assert [each.container for each in found] == ["wait"]


def test_a_run_stays_the_same_when_the_next_has_begun() -> None:
    """So that one that was followed is not told again as the one before the last."""
    run = Run("portal", "a", "uid", "portal", 0)
    assert run == Run("portal", "a", "uid", "portal", 0, previous=True)
    assert run != Run("portal", "a", "uid", "portal", 1)


def test_times_of_nodes_compare() -> None:
    assert in_utc("2026-06-01T14:00:00.123456789+02:00") == "2026-06-01T12:00:00.123456789Z"
    assert in_utc("2026-06-01T12:00:00.000000001Z") == "2026-06-01T12:00:00.000000001Z"
