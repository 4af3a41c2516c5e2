"""Examines a host: whether it can carry the platform, and how the one that it carries is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.dap_host import CommandError
from ansible.module_utils.dap_machine import MachineError
from ansible.module_utils.dap_requirements import (
    Finding,
    deployed,
    docker_state,
    examine,
    finding,
)

from dap.onhost import machine, packages, platform, status
from dap.onhost.baseline import baseline

THREADS = 8


def main(arguments: dict[str, Any]) -> None:
    """Print whether the platform is deployed, the findings, and the facts of `status`.

    `arguments`: those of the module dap_check, and names, reach, certificate, registry, base,
    upstream, packages, extra_ca, baseline as the engine's inventory has them.
    """
    given = arguments
    docker = docker_state()
    there = deployed(given["directory"])
    facts: dict[str, Any] = {"plan": None}
    if there:
        facts = status.facts(given["project"], given["directory"])
    runs = bool(facts.get("containers"))
    access = packages.Access(given["packages"], given["extra_ca"])
    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: examine(given, docker),
        machine.kernel,
        machine.graphics_of(docker),
        lambda: machine.engine(docker, runs),
        lambda: baseline(given["project"], given["baseline"]),
        lambda: machine.clock(access.clock()),
        lambda: platform.names(given["names"], given["reach"], runs),
        lambda: packages.base(given["base"], given["upstream"], docker, access, needed=not runs),
        *access.checks(needed=not runs),
    ]
    plan = facts["plan"]
    if runs and plan is not None:
        resting = {each["service"] for each in facts["containers"] if each["rests"]}
        routes = [each for each in plan["routes"] if each["service"] not in resting]
        streams = [each for each in plan["streams"] if each["service"] not in resting]
        checks += [
            lambda: platform.trust(given["project"], given["certificate"], given["registry"]),
            lambda: platform.routes(routes, plan["host"]),
            lambda: platform.streams(streams, plan["host"], given["reach"]),
        ]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        found = [each for part in pool.map(guarded, checks) for each in part]
    print(json.dumps({"deployed": runs, "findings": found, "facts": facts}))


def guarded(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Run a check; what keeps it from its answer is a finding, too."""
    try:
        return list(check())
    except (CommandError, MachineError, OSError) as error:
        return [finding("problem", "doctor", str(error), "mend it, then ask again")]
