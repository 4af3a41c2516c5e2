"""Tells the results: a line for each check that failed, or JSON for scripts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from acceptance.findings import CheckError, UnreachedError


@dataclass(frozen=True)
class Result:
    """One check: `test` is pytest's name for it, `subject` what it looked at."""

    test: str
    check: str
    subject: str
    outcome: str
    reason: str
    remedy: str
    seconds: float

    @property
    def title(self) -> str:
        """The check as a person reads it."""
        return f"{self.check} ({self.subject})" if self.subject else self.check


class Report:
    """A pytest plugin that keeps the results and prints them."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._unreached: dict[str, int] = {}  # what is said of a host: how many checks it failed
        self._console = Console(soft_wrap=True, highlight=False)
        self._started = time.monotonic()
        self.results: list[Result] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the result of each check, of its fixtures too where those failed."""
        report = yield
        if report.when == "call" or report.outcome != "passed":
            error = call.excinfo.value if call.excinfo else None
            self.add(
                _result(item, error, call, report), unreached=isinstance(error, UnreachedError)
            )
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep a file that can't be read as a failed check."""
        if report.failed:
            reason = str(report.longrepr).strip().splitlines()[-1]
            self.add(Result(report.nodeid, report.nodeid, "", "failed", reason, "", 0))

    def add(self, result: Result, *, unreached: bool = False) -> None:
        """Keep a result; that a host can't be asked is told once for all of its checks."""
        self.results.append(result)
        if unreached:
            self._unreached[result.reason] = self._unreached.get(result.reason, 0) + 1
            if self._unreached[result.reason] > 1:
                return
        if result.outcome == "failed" and not self._as_json:
            text = Text("failed: ", "bold red") + Text(
                f"{result.title}: {result.reason}", "default"
            )
            if result.remedy:
                text += Text(f"; to do: {result.remedy}", "dim")
            self._console.print(text)

    def count(self, outcome: str) -> int:
        """Return how many checks ended so: passed, failed or skipped."""
        return sum(result.outcome == outcome for result in self.results)

    def close(self) -> None:
        """Print what came of it all."""
        seconds = time.monotonic() - self._started
        failed, passed = self.count("failed"), self.count("passed")
        if self._as_json:
            data = {
                "ok": not failed,
                "passed": passed,
                "failed": failed,
                "skipped": self.count("skipped"),
                "seconds": round(seconds, 1),
                "tests": [asdict(result) for result in self.results],
            }
            print(json.dumps(data, indent=2))
            return
        for result in self.results:
            if result.outcome == "skipped":
                self._console.print(Text(f"skipped: {result.title}: {result.reason}", "dim"))
        for reason, checks in self._unreached.items():
            if checks > 1:
                more = f"failed alike: {checks - 1} more check{'s' * (checks > 2)}: {reason}"
                self._console.print(Text(more, "dim"))
        said = "The platform works" if not failed else f"{failed} check{'s' * (failed > 1)} failed"
        self._console.print(f"{said}: {passed} checks passed in {seconds:.0f} s.")


def _result(
    item: pytest.Item,
    error: BaseException | None,
    call: pytest.CallInfo[None],
    report: pytest.TestReport,
) -> Result:
    name, _, subject = item.name.partition("[")
    reason, remedy = "", ""
    if isinstance(error, CheckError):
        reason, remedy = error.what, error.remedy
    elif report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    elif error is not None:
        said = " ".join(str(error).split())[:300]
        place = call.excinfo.traceback[-1] if call.excinfo else None
        where = f" ({Path(place.path).name}:{place.lineno + 1})" if place else ""
        reason = f"{type(error).__name__}: {said}{where}"
    return Result(
        test=item.nodeid,
        check=re.sub("^test_", "", name).replace("_", " "),
        subject=subject.removesuffix("]"),
        outcome=report.outcome,
        reason=reason,
        remedy=remedy,
        seconds=round(report.duration, 2),
    )
