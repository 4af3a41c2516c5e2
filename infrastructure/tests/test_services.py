"""Every service runs, is well, and has no more than it was given."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from acceptance import Deployed, expect, expect_none
from acceptance.platform import JOB
from dap.plan import Service
from dap.settings import memory_bytes

HEALTH_TIMEOUT_S = 30
AGAIN = "docker compose up -d --force-recreate {name} in {directory}"


def test_healthy(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """By its own health check, asked now: Docker's answer may be half a minute old."""
    remedy = f"docker compose logs {service.name} in {platform.directory}; then make deploy"
    state = container["State"]
    expect(
        state["Status"] == "running",
        f"it is {state['Status']}, with exit status {state['ExitCode']}",
        remedy,
    )
    check = (container["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
    expect(check[0] != "NONE", "it has no health check", "make deploy")
    command = check[1:] if check[0] == "CMD" else ["/bin/sh", "-c", check[1]]
    try:
        done = subprocess.run(
            ["docker", "exec", container["Id"], *command],
            capture_output=True,
            check=False,
            timeout=HEALTH_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        expect(False, f"its health check does not end within {HEALTH_TIMEOUT_S} s", remedy)
        return
    said = (done.stdout + done.stderr).decode(errors="replace").strip()[-200:]
    expect(
        done.returncode == 0,
        f"its health check ends with {done.returncode}" + (f": {said}" if said else ""),
        remedy,
    )


def test_nothing_runs_that_is_not_planned(platform: Deployed) -> None:
    planned = {service.name for service in platform.prepared.plan.services}
    strangers = []
    for container in platform.everything:
        labels = container["Config"]["Labels"] or {}
        service = labels.get("com.docker.compose.service")
        known = service in planned and labels.get("com.docker.compose.project") == platform.name
        twice = (
            known
            and service in platform.containers
            and labels.get("com.docker.compose.oneoff") != "True"
            and platform.containers[service]["Id"] != container["Id"]
        )
        if JOB not in labels and (not known or twice):
            strangers.append(f"the container {container['Name'].lstrip('/')} is not of the plan")
    expect_none(strangers, "docker rm --force what is not the platform's, or make deploy")


def test_limits(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """Memory and number of processes are limited, as the settings say."""
    rendered, host = platform.compose[service.name], container["HostConfig"]
    wanted = {
        "Memory": memory_bytes(str(rendered["mem_limit"])),
        "PidsLimit": int(rendered["pids_limit"]),
        "NanoCpus": int(float(rendered.get("cpus", 0)) * 1e9),
    }
    expect_none(
        (
            f"{key} is {host[key]} where {limit} is meant"
            for key, limit in wanted.items()
            if (host[key] or 0) != limit or (key != "NanoCpus" and not limit)
        ),
        AGAIN.format(name=service.name, directory=platform.directory),
    )


def test_confined(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """It has the rights that `compose.yml` gives, and those are none unless its folder says why."""
    rendered, host = platform.compose[service.name], container["HostConfig"]
    exceptions = platform.exceptions(service.name)
    # Key of Compose → what Docker has, what no deviation is.
    rights: dict[str, tuple[Any, Any]] = {
        "privileged": (host["Privileged"], False),
        "cap_drop": (host["CapDrop"] or [], ["ALL"]),
        "cap_add": ([name.removeprefix("CAP_") for name in host["CapAdd"] or []], []),
        "security_opt": (host["SecurityOpt"] or [], ["no-new-privileges:true"]),
        "read_only": (host["ReadonlyRootfs"], True),
        "devices": (host["Devices"] or [], []),
        "pid": (host["PidMode"], ""),
    }
    problems = []
    for key, (has, safe) in rights.items():
        given = rendered.get(key, safe)
        if given != safe and key not in exceptions:
            problems.append(f"{key} is {given}, and x-dap.exceptions does not say why")
        if sorted_if_list(has) != sorted_if_list(given):
            problems.append(f"{key} is {has} where {given} is meant")
    expect_none(problems, AGAIN.format(name=service.name, directory=platform.directory))


def sorted_if_list(value: Any) -> Any:
    """Return a list in order, all else as it is."""
    return sorted(value) if isinstance(value, list) else value


def test_not_root(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """No process of it is root's, unless its folder says why."""
    if "user" in platform.exceptions(service.name):
        wanted = str(platform.compose[service.name]["user"])
        expect(
            container["Config"]["User"] == wanted,
            f"it runs as {container['Config']['User']} where {wanted} is meant",
            AGAIN.format(name=service.name, directory=platform.directory),
        )
        return
    roots = [
        f"process {process.name} is root's: {command_of(process)}"
        for process in platform.processes(container)
        if "0" in owners(process)
    ]
    expect_none(roots, AGAIN.format(name=service.name, directory=platform.directory))


def owners(process: Path) -> list[str]:
    """Return real, effective, saved and filesystem user of a process."""
    try:
        lines = (process / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return next(line for line in lines if line.startswith("Uid:")).split()[1:]


def command_of(process: Path) -> str:
    """Return the name of the program of a process."""
    try:
        return (process / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended meanwhile"
