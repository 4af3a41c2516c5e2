"""Every service runs, is well, and has no more than it was given."""

from __future__ import annotations

from typing import Any

from acceptance import Deployed, Host, expect, expect_none
from acceptance.hosts import JOB
from dap.plan import Service
from dap.settings import memory_bytes

HEALTH_TIMEOUT_S = 30
ENDED_BY_TIMEOUT = 124
AGAIN = "docker compose up -d --force-recreate {name} in {place}"


def test_healthy(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """By its own health check, asked now: Docker's answer may be half a minute old."""
    host = platform.host(service.host)
    remedy = f"docker compose logs {service.name} in {host.place}; then make deploy"
    state = container["State"]
    expect(
        state["Status"] == "running",
        f"it is {state['Status']}, with exit status {state['ExitCode']}",
        remedy,
    )
    check = (container["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
    expect(check[0] != "NONE", "it has no health check", "make deploy")
    command = check[1:] if check[0] == "CMD" else ["/bin/sh", "-c", check[1]]
    limit = ("timeout", str(HEALTH_TIMEOUT_S))
    done = host.do(*limit, "docker", "exec", container["Id"], *command)
    said = (done.stdout + done.stderr).decode(errors="replace").strip()[-200:]
    late = f"its health check does not end within {HEALTH_TIMEOUT_S} s"
    expect(done.returncode != ENDED_BY_TIMEOUT, late, remedy)
    expect(
        done.returncode == 0,
        f"its health check ends with {done.returncode}" + (f": {said}" if said else ""),
        remedy,
    )


def test_nothing_runs_that_is_not_planned(platform: Deployed, host: Host) -> None:
    planned = {service.name for service in host.part.services}
    strangers = []
    for container in host.everything:
        labels = container["Config"]["Labels"] or {}
        service = labels.get("com.docker.compose.service")
        known = service in planned and labels.get("com.docker.compose.project") == platform.name
        twice = (
            known
            and service in host.containers
            and labels.get("com.docker.compose.oneoff") != "True"
            and host.containers[service]["Id"] != container["Id"]
        )
        if JOB not in labels and (not known or twice):
            strangers.append(f"the container {container['Name'].lstrip('/')} is not of the plan")
    expect_none(strangers, "docker rm --force what is not the platform's, or make deploy")


def test_limits(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """Memory and number of processes are limited, as the settings say."""
    host = platform.host(service.host)
    rendered, has = host.compose[service.name], container["HostConfig"]
    wanted = {
        "Memory": memory_bytes(str(rendered["mem_limit"])),
        "PidsLimit": int(rendered["pids_limit"]),
        "NanoCpus": int(float(rendered.get("cpus", 0)) * 1e9),
    }
    expect_none(
        (
            f"{key} is {has[key]} where {limit} is meant"
            for key, limit in wanted.items()
            if (has[key] or 0) != limit or (key != "NanoCpus" and not limit)
        ),
        AGAIN.format(name=service.name, place=host.place),
    )


def test_confined(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """It has the rights that `compose.yml` gives, and those are none unless its folder says why."""
    host = platform.host(service.host)
    rendered, has = host.compose[service.name], container["HostConfig"]
    exceptions = host.exceptions(service.name)
    # Key of Compose → what Docker has, what no deviation is.
    rights: dict[str, tuple[Any, Any]] = {
        "privileged": (has["Privileged"], False),
        "cap_drop": (has["CapDrop"] or [], ["ALL"]),
        "cap_add": ([name.removeprefix("CAP_") for name in has["CapAdd"] or []], []),
        "security_opt": (has["SecurityOpt"] or [], ["no-new-privileges:true"]),
        "read_only": (has["ReadonlyRootfs"], True),
        "devices": (has["Devices"] or [], []),
        "pid": (has["PidMode"], ""),
    }
    problems = []
    for key, (found, safe) in rights.items():
        given = rendered.get(key, safe)
        if given != safe and key not in exceptions:
            problems.append(f"{key} is {given}, and x-dap.exceptions does not say why")
        if sorted_if_list(found) != sorted_if_list(given):
            problems.append(f"{key} is {found} where {given} is meant")
    expect_none(problems, AGAIN.format(name=service.name, place=host.place))


def sorted_if_list(value: Any) -> Any:
    """Return a list in order, all else as it is."""
    return sorted(value) if isinstance(value, list) else value


def test_not_root(platform: Deployed, service: Service, container: dict[str, Any]) -> None:
    """No process of it is root's, unless its folder says why."""
    host = platform.host(service.host)
    again = AGAIN.format(name=service.name, place=host.place)
    if "user" in host.exceptions(service.name):
        wanted = str(host.compose[service.name]["user"])
        found = container["Config"]["User"]
        expect(found == wanted, f"it runs as {found} where {wanted} is meant", again)
        return
    roots = [
        f"process {process.pid} is root's: {process.name}"
        for process in host.processes.get(container["Id"], [])
        if 0 in process.users
    ]
    expect_none(roots, again)
