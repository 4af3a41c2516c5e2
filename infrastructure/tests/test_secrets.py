"""No secret is where others than those it is for could see it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from acceptance import Deployed, Place, expect_none
from acceptance.leaks import Leaks
from dap.plan import Service

REPLACE = "give the secret a new value with .venv/bin/dap secret NAME, then make deploy"


def test_no_secret_in_process_lists(host: Place, leaks: Leaks) -> None:
    """Neither on command lines nor, unless the folder says why, in environments."""
    problems = []
    folders = {service.name: service.folder for service in host.part.services}
    for program in host.programs:
        name, service = program.name, program.service
        excepted = service in host.compose and "environment" in host.exceptions(service)
        for process in program.processes:
            place = f"the command line of {name}'s {process.pid}"
            problems += leaks.where([(place, process.command)])
            found = [] if excepted and program.job else leaks.names(process.environment)
            if excepted:
                found = [one for one in found if not one.startswith(f"{folders[service]}/")]
            if found:
                place = f"the environment of {name}'s process {process.pid}"
                problems.append(f"{place} shows the secret {', '.join(found)}")
    expect_none(problems, f"end the process; {REPLACE}")


def test_no_secret_in_logs(platform: Deployed, leaks: Leaks, service: Service) -> None:
    logs = platform.host(service.host).logged(service.name)
    if logs is None:
        pytest.skip("it has no container")
    expect_none(leaks.where(("its log", text) for text in logs), REPLACE)


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
