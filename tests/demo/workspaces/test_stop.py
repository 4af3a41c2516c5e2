"""Workspaces that stop, by request or unused, stay so and are well; those that fail come back."""

import datetime as dt
import json
import subprocess
from typing import Any

import pytest

from demo.access import await_result
from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client
from tests.demo.workspaces.conftest import IDLE_S
from tests.demo.workspaces.jupyter import Jupyter, ask
from tests.programs import tried

SHELL, IDLE = "admin-shell", "admin-idle"
BUSY_S = IDLE_S + 5
SLACK_S = 30  # this machine is busy with other things


def make(platform: Platform, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return tried(platform.project.path, "make", "--no-print-directory", *arguments, given=given)


def state(platform: Platform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.containers(stopped=True)[name].attrs["State"]
    return found


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text[:19] + "+00:00")


def status(platform: Platform, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    told = json.loads(platform.dap("status", "--json").stdout)
    (row,) = [each for each in told["services"] if each["service"] == name]
    return row, [each for each in told["findings"] if each["where"] == name]


def test_unused_it_stops_and_a_busy_kernel_is_use(peopled: Platform) -> None:
    assert make(peopled, "workspace", f"NAME={IDLE}", "start").returncode == 0
    [route] = [each for each in peopled.plan["routes"] if each["name"] == IDLE]
    jupyter = Jupyter(route["url"], peopled.project.password)
    kernel = jupyter.start_kernel()
    with jupyter.channel(kernel) as channel:
        ask(channel, f"from time import sleep; sleep({BUSY_S})")
        begun = dt.datetime.now(dt.UTC)

    def ended() -> dict[str, Any] | None:
        found = state(peopled, IDLE)
        return found if found["Status"] == "exited" else None

    found = await_result("the end of an unused workspace", ended, BUSY_S + IDLE_S + SLACK_S)
    assert found["ExitCode"] == 0
    # From the end of the cell on nothing used it: no idle kernel, and no health check.
    assert (moment(found["FinishedAt"]) - begun).total_seconds() >= BUSY_S + IDLE_S - 2
    row, told = status(peopled, IDLE)
    assert (row["state"], row["well"]) == ("stopped", True)
    (finding,) = told
    assert finding["level"] == "ok"
    assert f"stopped after {IDLE_S}s without use" in finding["what"]


def test_stopped_on_request_it_stays_so(peopled: Platform, admin: Client) -> None:
    assert admin.said(SHELL, "echo kept >~/before-stop; echo in") == "in\n"
    done = make(peopled, "workspace", f"NAME={SHELL}", "stop")
    assert (done.returncode, done.stdout) == (0, f"{SHELL} is stopped, until it is started\n")
    assert (state(peopled, SHELL)["Status"], state(peopled, SHELL)["ExitCode"]) == ("exited", 0)
    row, told = status(peopled, SHELL)
    assert (row["state"], row["well"]) == ("stopped", True)
    assert [each["level"] for each in told] == ["ok"]
    assert "stopped on request" in told[0]["what"]
    assert told[0]["remedy"] == f"make workspace NAME={SHELL} start"
    # Neither a deploy nor its plan has anything to say about it.
    assert peopled.project.make_json("plan")["changed"] == 0
    assert peopled.project.make_json("deploy")["changed"] == 0
    assert state(peopled, SHELL)["Status"] == "exited"
    doctor = json.loads(peopled.dap("doctor", "--json").stdout)
    assert not [
        each for each in doctor["findings"] if SHELL in each["what"] and each["level"] != "ok"
    ]
    again = make(peopled, "workspace", f"NAME={SHELL}", "stop")
    assert again.stdout == f"{SHELL} is stopped already\n"
    refused = make(peopled, "workspace", f"NAME={SHELL}", "shell")
    assert refused.returncode != 0
    assert f"make workspace NAME={SHELL} start" in refused.stderr
    done = make(peopled, "workspace", f"NAME={SHELL}", "start")
    assert (done.returncode, done.stdout) == (0, f"{SHELL} is started\n")
    assert admin.said(SHELL, "cat ~/before-stop") == "kept\n"
    again = make(peopled, "workspace", f"NAME={SHELL}", "start")
    assert again.stdout == f"{SHELL} runs already\n"


def test_one_that_fails_is_started_again(peopled: Platform) -> None:
    before = state(peopled, SHELL)["StartedAt"]
    peopled.container(SHELL).exec_run(["pkill", "-f", "sshd.*listener"])

    def anew() -> bool | None:
        found = state(peopled, SHELL)
        return (found["Running"] and found["StartedAt"] != before) or None

    await_result("the workspace anew", anew, 30)


def test_a_shell_is_the_analysts(peopled: Platform) -> None:
    done = make(
        peopled, "workspace", f"NAME={SHELL}", "shell", given="id -un; pwd; echo $PGHOST\nexit 3\n"
    )
    assert done.stdout == f"analyst\n/home/analyst\npostgres.{peopled.domain}\n"
    assert "Error 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["NAME=admin-shel", "start"], "no workspace is called admin-shel; there are: admin-shell"),
        (["start"], "which workspace?; there are: "),
        ([f"NAME={SHELL}"], "what is to be done?; allowed: start, stop, recreate, shell"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    peopled: Platform, arguments: list[str], words: str
) -> None:
    done = make(peopled, "workspace", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert make(peopled, "start").returncode == 2
