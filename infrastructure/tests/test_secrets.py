"""No secret is where others than those it is for could see it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance import Deployed, expect_none
from acceptance.leaks import Leaks
from dap.engine.observe import docker
from dap.plan import Service

REPLACE = "give the secret a new value with .venv/bin/dap secret NAME, then make deploy"


def test_no_secret_in_docker_inspect(platform: Deployed, leaks: Leaks) -> None:
    """Of containers, and of the images that were built for them."""
    texts = [
        (f"docker inspect {each['Name'].lstrip('/')}", json.dumps(each).encode())
        for each in platform.everything
    ]
    images = sorted({each["Image"] for each in platform.everything})
    texts += [
        (f"docker history {image[7:19]}", docker("history", "--no-trunc", image).encode())
        for image in images
    ]
    expect_none(leaks.where(texts), REPLACE)


def test_no_secret_in_process_lists(platform: Deployed, leaks: Leaks) -> None:
    """Neither on command lines nor, unless the folder says why, in environments."""
    problems = []
    for container in platform.running:
        service = (container["Config"]["Labels"] or {}).get("com.docker.compose.service", "")
        known = service in platform.compose
        excepted = known and "environment" in platform.exceptions(service)
        folders = {s.name: s.folder for s in platform.prepared.plan.services}
        name = container["Name"].lstrip("/")
        for process in platform.processes(container):
            line, variables = read(process / "cmdline"), read(process / "environ")
            problems += leaks.where([(f"the command line of {name}'s {process.name}", line)])
            shown = leaks.names(variables)
            if excepted:
                shown = [one for one in shown if not one.startswith(f"{folders[service]}/")]
            if shown:
                place = f"the environment of {name}'s process {process.name}"
                problems.append(f"{place} shows the secret {', '.join(shown)}")
    expect_none(problems, f"end the process; {REPLACE}")


def read(path: Path) -> bytes:
    """Return a file of /proc; nothing where the process has ended."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_no_secret_in_logs(platform: Deployed, leaks: Leaks, service: Service) -> None:
    if service.name not in platform.containers:
        pytest.skip("it has no container")
    done = subprocess.run(
        ["docker", "logs", platform.containers[service.name]["Id"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    expect_none(leaks.where([("its log", done.stdout)]), REPLACE)


def test_no_secret_in_the_tree(platform: Deployed, leaks: Leaks) -> None:
    """In what lies on the host outside of `secrets/`."""

    def texts() -> Iterator[tuple[str, bytes]]:
        for parent, folders, files in os.walk(platform.directory):
            if Path(parent) == platform.directory:
                folders.remove("secrets")
            for name in files:
                yield str(Path(parent, name)), Path(parent, name).read_bytes()

    expect_none(leaks.where(texts()), f"make deploy; {REPLACE}")


def test_no_secret_in_the_repository(platform: Deployed, leaks: Leaks) -> None:
    """In any version of the project, committed or only staged once."""
    root = platform.prepared.root
    # The repository may be a person's, while this runs as root.
    git = ["git", "-c", f"safe.directory={root}", "-C", str(root)]
    if subprocess.run([*git, "rev-parse"], capture_output=True, check=False).returncode:
        pytest.skip("the project is no git repository")

    def texts() -> Iterator[tuple[str, bytes]]:
        command = [*git, "cat-file", "--batch-all-objects", "--batch", "--unordered"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as objects:
            assert objects.stdout is not None
            while head := objects.stdout.readline().decode().split():
                name, kind, size = head
                content = objects.stdout.read(int(size) + 1)
                yield f"the {kind} {name[:12]} of the repository", content

    expect_none(leaks.where(texts()), f"{REPLACE}; then take it out of the history")
