"""The acceptance tests, run as a Job in the platform's cluster."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from kubernetes.dynamic.exceptions import BadRequestError, NotFoundError
from urllib3.exceptions import HTTPError

from dap.engine import Prepared
from dap.engine.lock import hold
from dap.errors import DapError, InputError
from dap.stack.checks import NAME, VERIFIES, container, objects, of_checks
from dap.stack.live import Live, connected
from dap.stack.place import of_platform

RESULT = "result: "
"""What stands before the results in JSON, in one line of the Job's log."""
_BUSY = "another run of the tests is at work: "
_END_S = 60.0
_GONE_S = 180.0
_INTERVAL_S = 0.5

Object = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How the Job ended: exit status of the tests, and their results in JSON if these were asked.

    The status is 0 where all passed, 1 where some failed, 2 where they could not be run.
    """

    status: int
    results: str


def verify(prepared: Prepared, arguments: Sequence[str], say: Callable[[str], None]) -> Ended:
    """Run the acceptance tests inside the cluster, and take away all that is there for it.

    Args:
        prepared: a project that is deployed.
        arguments: of infrastructure/tests/run.py.
        say: gets each line that the tests print.

    Raises:
        DapError: they can't be run there; says why.
    """
    place = of_platform(prepared.plan.settings, prepared.root)
    if prepared.new_secrets:
        raise InputError(
            "platform.yml asks for what was never deployed: there is no "
            + ", ".join(prepared.new_secrets),
            "make deploy",
        )
    apart = of_checks(place)
    wanted = objects(prepared, arguments)
    with (
        hold(prepared.root / ".dap" / "tests.lock", say, _BUSY),
        connected(place) as live,
        connected(apart) as checks,
        _ended_by_signals(),
    ):
        if not live.own_pods():
            what = f"the platform {place.platform} is not deployed: {place.namespace} has no pod"
            raise InputError(what, "make deploy")
        _refuse_others(checks, place.platform)
        remove(live, checks)
        try:
            for each in wanted:
                (live if each["metadata"].get("namespace") == place.namespace else checks).create(
                    each
                )
            return _watched(checks, container(wanted), say)
        finally:
            remove(live, checks)


def left(live: Live, checks: Live) -> list[str]:
    """Return what a run that was killed has left, for a person."""
    found = [f"namespace {checks.place}"] if _namespace(checks, live.platform) else []
    return found + [
        f"{kind} {each['metadata']['name']} of namespace {live.place}"
        for version, kind in _GIVEN
        for each in live.all(version, kind, f"{VERIFIES}={live.platform}")
    ]


def remove(live: Live, checks: Live) -> None:
    """Take away what is there for the tests: that of this run, or of one that was killed.

    Raises:
        DapError: the namespace does not go.
    """
    for version, kind in _GIVEN:
        for each in live.all(version, kind, f"{VERIFIES}={live.platform}"):
            live.delete(version, kind, each["metadata"]["name"])
    if _namespace(checks, live.platform) is None:
        return
    checks.delete("v1", "Namespace", checks.place)
    end = time.monotonic() + _GONE_S
    while _namespace(checks, live.platform):
        if time.monotonic() > end:
            raise DapError(
                f"namespace {checks.place} does not go within {_GONE_S:.0f} s",
                f"kubectl describe namespace {checks.place} says what it waits for",
            )
        time.sleep(_INTERVAL_S)


_GIVEN = tuple(("rbac.authorization.k8s.io/v1", kind) for kind in ("RoleBinding", "Role"))


def _namespace(checks: Live, platform: str) -> Object | None:
    found = checks.look(f"/api/v1/namespaces/{checks.place}")
    labels = (found or {}).get("metadata", {}).get("labels") or {}
    return found if labels.get(VERIFIES) == platform else None


def _refuse_others(checks: Live, platform: str) -> None:
    there = checks.look(f"/api/v1/namespaces/{checks.place}")
    if there and _namespace(checks, platform) is None:
        raise InputError(
            f"namespace {checks.place} is there and is not this platform's: the tests need it",
            "remove it, or verify from here: make verify",
        )


def _watched(checks: Live, container: str, say: Callable[[str], None]) -> Ended:
    """Pass on what the Job says until its end."""
    pod = checks.started(NAME)
    results = ""
    told = 0
    while True:
        try:
            for number, line in enumerate(checks.log(pod, container, {"follow": "true"})):
                if number < told:
                    continue
                told += 1
                text = line.decode(errors="replace").rstrip("\n")
                if text.startswith(RESULT):
                    results = text.removeprefix(RESULT)
                else:
                    say(text)
        except (HTTPError, BadRequestError):
            time.sleep(_INTERVAL_S)  # the connection broke, and it is read anew; or it has no log
        ended = _ended(checks, pod, container)
        if ended is not None:
            return Ended(ended, results)


def _ended(checks: Live, pod: str, container: str) -> int | None:
    """Return the exit status of the pod once it has ended; None where it has not yet.

    Raises:
        DapError: it was ended, and by whom.
    """
    end = time.monotonic() + _END_S
    while time.monotonic() < end:
        try:
            status = checks.get("v1", "Pod", pod)["status"]
        except NotFoundError:
            raise DapError(f"the pod {pod} of {checks.place} was removed by somebody") from None
        if status.get("phase") not in ("Succeeded", "Failed"):
            time.sleep(_INTERVAL_S)
            continue
        stopped: Object = next(
            (
                each["state"]["terminated"]
                for each in status.get("containerStatuses") or ()
                if "terminated" in each.get("state", {})
            ),
            {},
        )
        code, why = stopped.get("exitCode"), status.get("reason") or stopped.get("reason")
        if code in (0, 1, 2) and why in (None, "Completed", "Error"):
            return int(code)
        raise DapError(
            f"the tests were ended in the cluster: {why}, exit status {code}",
            f"give them more memory: resources.{container}.memory" if why == "OOMKilled" else "",
        )
    return None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends this program be told as what Control-C is, so that nothing stays."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
