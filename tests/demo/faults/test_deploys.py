"""Row 5: `make deploy` killed at any point; the next gets there, the one after changes nothing."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.project import Project
from tests.demo.conftest import Platform, privileged
from tests.demo.faults.record import FULL, count, keep
from tests.programs import start_deploy

EXPECTED = "a re-run converges; the next reports `changed=0`"


def killed(path: Path, after_s: float) -> bool:
    """Deploy, and kill its whole process group after a time; whether it still ran then."""
    deploy = start_deploy(path)
    try:
        deploy.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(deploy.pid, signal.SIGKILL)
        deploy.wait()
        return True
    return False


def settings(text: str, step: int) -> str:
    """Settings that differ from those of other steps in containers, configuration and content."""
    name = re.sub(r"full_name: .*?(?=,|\n)", f"full_name: Number {step}", text, count=1)
    assert name != text
    limits = f"portal: {{memory: {90 + step}m}}, git-web: {{cpus: 1.{step:02}}}"
    return f"{name}\nresources: {{{limits}}}\n"


@pytest.fixture
def platform_yml(platform: Platform) -> Iterator[Path]:
    """The settings, put back and deployed at the end."""
    file = platform.project.path / "platform.yml"
    text = file.read_text()
    assert "resources" not in text
    yield file
    file.write_text(text)
    platform.project.make("deploy")


def settled(platform: Platform, step: int, services: set[str]) -> None:
    """Fail unless the settings of a step are what runs, with nothing beside it."""
    platform.project.make("deploy")
    result = platform.project.make_json("deploy")
    assert result["changed"] == 0, result
    found = platform.containers(stopped=True)
    assert set(found) == services
    names = {c.name for c in found.values()}
    assert names == {f"{platform.name}-{service}-1" for service in services}
    assert found["portal"].attrs["HostConfig"]["Memory"] == (90 + step) * 1024**2
    plan = json.loads(privileged("cat", f"/srv/dap/{platform.name}/plan.json"))
    assert plan["settings"]["users"][0]["full_name"] == f"Number {step}"


def test_deploys_killed_on_their_way(
    platform: Platform, platform_yml: Path, chance: random.Random
) -> None:
    text = platform_yml.read_text()
    services = set(platform.containers(stopped=True))
    platform_yml.write_text(settings(text, 0))
    began = time.monotonic()
    platform.project.make("deploy")
    whole = time.monotonic() - began
    kills, points, converged = count(4, 10), [], 0
    for step in range(1, 3 * kills):
        point = chance.uniform(0.05, 0.95) * whole
        platform_yml.write_text(settings(text, step))
        if killed(platform.project.path, point):
            points.append(round(point, 1))
            # In the short form each deploy meets what all killed ones before it left.
            if FULL or len(points) == kills:
                settled(platform, step, services)
                converged += 1
        if len(points) == kills:
            break
    assert len(points) == kills
    keep(
        5,
        "SIGKILL of `make deploy`, its whole process group, while settings change",
        EXPECTED,
        deploy_takes_s=round(whole, 1),
        kills=len(points),
        killed_after_s=points,
        converged=f"{converged} of {converged}",
        changed_after=0,
    )


@pytest.mark.skipif(not FULL, reason="a second platform: DAP_FAULTS=full runs it")
def test_a_first_deploy_killed_on_its_way(
    platform: Platform, tmp_path: Path, chance: random.Random
) -> None:
    first = second_project(platform, tmp_path)
    whole = 30.0
    points: list[float] = []
    with removed(first):
        while len(points) < 3:
            point = chance.uniform(0.05, 0.95) * whole
            assert killed(first.path, point), "the first deploy came to its end"
            points.append(round(point, 1))
        first.make("deploy")
        result = first.make_json("deploy")
        assert result["changed"] == 0, result
        states = [
            container.attrs["State"]["Health"]["Status"]
            for container in platform.docker.containers.list(filters=project_label(first))
        ]
        assert set(states) == {"healthy"}
        assert len(states) == len(platform.containers())
    keep(
        5,
        "SIGKILL of a first `make deploy`, again and again",
        EXPECTED,
        kills=len(points),
        killed_after_s=points,
        converged="1 of 1",
        changed_after=0,
    )


def project_label(project: Project) -> dict[str, Any]:
    return {"label": f"com.docker.compose.project={project.name}"}


@contextlib.contextmanager
def removed(project: Project) -> Iterator[None]:
    """Remove a platform with its data at the end."""
    try:
        yield
    finally:
        project.make("destroy", f"DELETE_DATA={project.name}")
        for key in (Path.home() / ".config" / "dap").glob(f"{project.name}-*.key"):
            key.unlink()


def second_project(platform: Platform, directory: Path) -> Project:
    """A project like the demo's with name, domain and ports of its own, never deployed."""
    name = f"{platform.name}-first"
    project = Project(directory, name, f"{name}.test", platform.project.address)
    unwanted = shutil.ignore_patterns(".git", ".venv", ".dap", "vault.yml")
    shutil.copytree(platform.project.path, project.path, ignore=unwanted)
    held = [socket.create_server((project.address, 0)) for _ in range(5)]
    numbers = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    ports = dict(zip(platform.plan["settings"]["ports"], numbers, strict=True))
    file = project.path / "platform.yml"
    kept = [
        line
        for line in file.read_text().splitlines()
        if not line.startswith(("name:", "domain:", "ports:"))
    ]
    text = "\n".join([f"name: {name}", f"domain: {project.domain}", f"ports: {ports}", *kept, ""])
    file.write_text(text)
    return project
