"""Runs a command of a service that repeats jobs, and sees that a job's image is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from dap.onhost import docker


def main(arguments: dict[str, Any]) -> None:
    """Print JSON for the verb look; for run, what the command prints.

    `arguments`: project, service, command, verb, asked (for the command), image and login
    (registry, username, password) for an image that is not here.
    """
    container = _container(arguments["project"], arguments["service"])
    if arguments["verb"] == "look":
        found = json.loads(_execute(container, arguments, subprocess.PIPE))
        print(json.dumps({**found, "image": _has(arguments["image"])}))
        return
    if not _has(arguments["image"]):
        _pull(arguments["image"], **arguments["login"])
    _execute(container, arguments, None)


def _container(project: str, service: str) -> str:
    for container in docker.containers(project):
        if docker.service(container) == service and container["State"] == "running":
            return str(container["Id"])
    sys.exit(f"{service} does not run; make status says more")


def _execute(container: str, arguments: dict[str, Any], output: int | None) -> str:
    command = [*arguments["command"], arguments["verb"]]
    asked = json.dumps(arguments["asked"])
    done = subprocess.run(
        ["docker", "exec", "--interactive", container, *command],
        input=asked,
        stdout=output,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{arguments['service']}: {command[0]} ended with {done.returncode}")
    return done.stdout or ""


def _has(image: str) -> bool:
    try:
        docker.get(f"/images/{image}/json")
    except docker.GoneError:
        return False
    return True


def _pull(image: str, registry: str, username: str, password: str) -> None:
    """Pull an image with a login that leaves no trace."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DOCKER_CONFIG": folder}
        login = ["docker", "login", "--username", username, "--password-stdin", registry]
        for command, given in ((login, password), (["docker", "pull", "--quiet", image], None)):
            done = subprocess.run(
                command, input=given, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"{image}: {done.stderr.strip()}")
