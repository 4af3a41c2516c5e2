"""No secret is where others than those it is for could see it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from acceptance import Deployed, Host, expect_none
from acceptance.hosts import JOB, Container
from acceptance.leaks import Leaks
from dap.plan import Service

REPLACE = "give the secret a new value with .venv/bin/dap secret NAME, then make deploy"


def test_no_secret_in_docker_inspect(host: Host, leaks: Leaks) -> None:
    """Of containers, and of the images that were built for them."""
    texts = [
        (f"docker inspect {each['Name'].lstrip('/')}", json.dumps(shown(host, each)).encode())
        for each in host.everything
    ]
    images = sorted({each["Image"] for each in host.everything})
    texts += [
        (f"docker history {image[7:19]}", host.output("docker", "history", "--no-trunc", image))
        for image in images
    ]
    expect_none(leaks.where(texts), REPLACE)


def is_job(host: Host, container: Container) -> bool:
    """Tell whether it is a job of a service that says why jobs have secrets in environments."""
    labels = container["Config"]["Labels"] or {}
    service = labels.get("dap.service", "")
    return JOB in labels and service in host.compose and "environment" in host.exceptions(service)


def shown(host: Host, container: Container) -> Container:
    """Return what `docker inspect` says, without what is excepted of a job."""
    config = container["Config"]
    return {**container, "Config": {**config, "Env": []}} if is_job(host, container) else container


def test_no_secret_in_process_lists(host: Host, leaks: Leaks) -> None:
    """Neither on command lines nor, unless the folder says why, in environments."""
    problems = []
    folders = {service.name: service.folder for service in host.part.services}
    for container in host.running:
        service = (container["Config"]["Labels"] or {}).get("com.docker.compose.service", "")
        excepted = service in host.compose and "environment" in host.exceptions(service)
        name = container["Name"].lstrip("/")
        for process in host.processes[container["Id"]]:
            place = f"the command line of {name}'s {process.pid}"
            problems += leaks.where([(place, process.command)])
            found = [] if is_job(host, container) else leaks.names(process.environment)
            if excepted:
                found = [one for one in found if not one.startswith(f"{folders[service]}/")]
            if found:
                place = f"the environment of {name}'s process {process.pid}"
                problems.append(f"{place} shows the secret {', '.join(found)}")
    expect_none(problems, f"end the process; {REPLACE}")


def test_no_secret_in_logs(platform: Deployed, leaks: Leaks, service: Service) -> None:
    host = platform.host(service.host)
    if service.name not in host.containers:
        pytest.skip("it has no container")
    done = host.do("docker", "logs", host.container(service.name)["Id"])
    expect_none(leaks.where([("its log", done.stdout), ("its log", done.stderr)]), REPLACE)


def test_no_secret_in_the_tree(host: Host, leaks: Leaks) -> None:
    """In what lies on the host outside of `secrets/`."""
    texts = (
        (str(host.directory / path), file.content)
        for path, file in host.files_of_tree.items()
        if file.content is not None and not path.startswith("secrets/")
    )
    expect_none(leaks.where(texts), f"make deploy; {REPLACE}")


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
