"""Starts and stops one service of a platform, as a person asks."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.dap_host import CommandError, compose, run, tail

from dap.onhost import docker

HEALTHY_S = 120
ENDED_S = 30


class RefusedError(Exception):
    """It can't be done; the message says why, `hint` what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(arguments: dict[str, Any]) -> None:
    """Print `container` (its id) and `changed`, or `error` and `hint`.

    `arguments`: project, directory of its tree, service, action (start, stop, recreate, find).
    """
    try:
        print(json.dumps(act(**arguments)))
    except RefusedError as error:
        print(json.dumps({"error": str(error), "hint": error.hint}))
    except (CommandError, docker.EngineError) as error:
        print(json.dumps({"error": str(error), "hint": "make doctor says more"}))


def act(project: str, directory: str, service: str, action: str) -> dict[str, Any]:
    """Do it; return the container's id and whether something changed.

    Raises:
        RefusedError: there is no such container, or it does not do what it should.
    """
    before = container(project, service)
    if before is None:
        raise RefusedError(f"{service} has no container", "make deploy")
    runs = before["State"] == "running"
    if action == "find":
        if not runs:
            raise RefusedError(
                f"{service} is not running ({before['Status']})",
                f"make workspace NAME={service} start",
            )
        return {"container": before["Id"], "changed": False}
    if action == "stop":
        return {"container": before["Id"], "changed": stop(before, service)}
    if action == "start" and runs:
        return {"container": before["Id"], "changed": False}
    again = ["--force-recreate"] if action == "recreate" else []
    up(directory, service, *again)
    after = container(project, service)
    return {"container": after["Id"] if after else "", "changed": True}


def container(project: str, service: str) -> dict[str, Any] | None:
    """Return the container of a service as the engine lists it; None if there is none."""
    listed = docker.containers(project)
    return next((each for each in listed if docker.service(each) == service), None)


def up(directory: str, service: str, *more: str) -> None:
    """Start a service as its tree says, and wait until it is healthy."""
    options = ["--detach", "--no-deps", "--no-build", "--pull", "never"]
    wait = ["--wait", "--wait-timeout", str(HEALTHY_S)]
    done = run(compose(directory, "up", *options, *wait, *more, service))
    if done.returncode:
        raise RefusedError(
            f"{service} does not start: {tail(done.stderr, 3)}", f"make logs SERVICE={service}"
        )


def stop(listed: dict[str, Any], service: str) -> bool:
    """Ask a service to end for good, and wait for it; tell whether it ran.

    Ended by SIGUSR1 it has exit status 0: unlike one that failed, neither the engine nor a deploy
    starts it again.
    """
    if listed["State"] == "exited" and listed["Status"].startswith("Exited (0)"):
        return False
    asked = run(["docker", "kill", "--signal", "USR1", listed["Id"]])
    if asked.returncode:
        raise RefusedError(f"{service}: {tail(asked.stderr, 1)}", f"make logs SERVICE={service}")
    status = run(["docker", "wait", listed["Id"]], timeout_s=ENDED_S).stdout.strip()
    if status != "0":
        raise RefusedError(
            f"{service} ended with exit status {status} and is started anew",
            f"make workspace NAME={service} recreate, then stop it again",
        )
    return True
