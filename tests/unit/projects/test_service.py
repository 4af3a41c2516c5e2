"""What a service is asked that runs jobs again, and what is made of its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dap.errors import DapError
from dap.plan import make_plan
from dap.reproduce import service as module
from dap.reproduce.model import Ended, Order
from dap.reproduce.service import ServiceJobs, service
from dap.settings import Settings

from tests.gitlab.forge import catalogue

IMAGE = "registry.x.test/environments/python@sha256:" + "a" * 64
ORDER = Order("1" * 32, "analysis", "c" * 40, "refs/heads/main", "train", IMAGE, {"A": "b"})
DATA: dict[str, Any] = {"users": [{"name": "admin", "email": "a@x.test", "admin": True}]}
LOGIN = {"registry": "registry.x.test", "username": "u", "password": "p"}


def jobs(login: dict[str, str]) -> ServiceJobs:
    plan = make_plan(Settings.model_validate(DATA), catalogue())
    place = service(plan)
    assert place is not None
    return ServiceJobs(Path("/root"), plan, place, login)


@pytest.mark.parametrize(("forge", "there"), [("lite", True), ("gitlab", False)])
def test_a_forge_has_such_a_service_or_none(forge: str, there: bool) -> None:
    plan = make_plan(Settings.model_validate({**DATA, "forge": forge}), catalogue())
    assert (service(plan) is not None) == there


def test_it_is_asked_for_the_commit_and_its_host_for_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Mapping[str, Any]] = []

    def ask(*given: Any, timeout_s: float) -> dict[str, Any]:
        assert timeout_s > 0
        asked.append(given[3])
        return {"ref": "refs/heads/main", "image": True}

    monkeypatch.setattr(module, "ask", ask)
    found = jobs({}).look("analysis", "c" * 40, IMAGE)
    assert (found.ref, found.image) == ("refs/heads/main", True)
    (given,) = asked
    assert given["asked"] == {"project": "analysis", "commit": "c" * 40}
    assert (given["verb"], given["image"], "login" in given) == ("look", IMAGE, False)


def listening(monkeypatch: pytest.MonkeyPatch, printed: list[str]) -> list[Mapping[str, Any]]:
    """Have the host print lines; what it is given."""
    asked: list[Mapping[str, Any]] = []

    def listen(*given: Any) -> subprocess.Popen[str]:
        asked.append(given[3])
        program = f"print({chr(10).join(printed)!r})"
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True)

    monkeypatch.setattr(module, "listen", listen)
    return asked


def test_it_runs_the_job_and_tells_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    end = {"number": 7, "url": "https://x.test/7", "status": "success", "reason": ""}
    last = json.dumps({**end, "image": IMAGE, "log": ["one"]})
    asked = listening(monkeypatch, ["pipeline #7", last])
    said: list[str] = []
    ended = jobs(LOGIN).again(ORDER, said.append)
    assert ended == Ended(7, "https://x.test/7", "success", "", IMAGE, ["one"])
    assert said == ["pipeline #7"]
    (given,) = asked
    assert given["asked"] == {
        "project": "analysis",
        "commit": "c" * 40,
        "ref": "refs/heads/main",
        "job": "train",
        "variables": {"A": "b"},
        "message": f"Reproduces run {'1' * 32}",
    }
    assert given["login"] == LOGIN


def test_one_that_does_not_say_how_it_ended_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, ["no such host"])
    with pytest.raises(DapError, match="could not be run"):
        jobs({}).again(ORDER, print)
