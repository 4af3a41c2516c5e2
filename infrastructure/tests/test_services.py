"""Every service runs, is well, and has no more than it was given."""

from __future__ import annotations

from typing import Any

from acceptance import Deployed, Place, expect, expect_none
from dap.plan import Service
from dap.settings import memory_bytes

# Key of Compose → what no deviation is.
SAFE: dict[str, Any] = {
    "privileged": False,
    "cap_drop": ["ALL"],
    "cap_add": [],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "devices": [],
    "pid": "",
}


def test_healthy(platform: Deployed, service: Service) -> None:
    """By its own health check, asked now."""
    host = platform.host(service.host)
    problem = host.unwell(service.name)
    expect(not problem, problem, f"{host.logs(service.name)}; then make deploy")


def test_nothing_runs_that_is_not_planned(host: Place) -> None:
    expect_none(host.strangers(), "remove what is not the platform's, or make deploy")


def test_limits(platform: Deployed, service: Service) -> None:
    """Memory and number of processes are limited, as the settings say."""
    host = platform.host(service.host)
    rendered, has = host.compose[service.name], host.limits(service.name)
    wanted = {
        "mem_limit": memory_bytes(str(rendered["mem_limit"])),
        "pids_limit": int(rendered["pids_limit"]),
        "cpus": float(rendered.get("cpus", 0)),
    }
    expect_none(
        (
            f"{key} is {found:g} where {wanted[key]:g} is meant"
            for key, found in has.items()
            if found != wanted[key] or (key != "cpus" and not found)
        ),
        host.remedy(service.name),
    )


def test_confined(platform: Deployed, service: Service) -> None:
    """It has the rights that `compose.yml` gives, and those are none unless its folder says why."""
    host = platform.host(service.host)
    rendered, has = host.compose[service.name], host.rights(service.name)
    exceptions = host.exceptions(service.name)
    problems = []
    for key, safe in SAFE.items():
        given, found = rendered.get(key, safe), has[key]
        if given != safe and key not in exceptions:
            problems.append(f"{key} is {given}, and x-dap.exceptions does not say why")
        if sorted_if_list(found) != sorted_if_list(given):
            problems.append(f"{key} is {found} where {given} is meant")
    expect_none(problems, host.remedy(service.name))


def sorted_if_list(value: Any) -> Any:
    """Return a list in order, all else as it is."""
    return sorted(value) if isinstance(value, list) else value


def test_not_root(platform: Deployed, service: Service) -> None:
    """No process of it is root's, unless its folder says why."""
    host = platform.host(service.host)
    again = host.remedy(service.name)
    if "user" in host.exceptions(service.name):
        wanted, found = str(host.compose[service.name]["user"]), host.user(service.name)
        expect(found == wanted, f"it runs as {found} where {wanted} is meant", again)
        return
    roots = [
        f"process {process.pid} is root's: {process.name}"
        for program in host.programs
        if program.service == service.name and not program.job
        for process in program.processes
        if 0 in process.users
    ]
    expect_none(roots, again)
