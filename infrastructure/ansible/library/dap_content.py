#!/usr/bin/python
"""Make what lives inside the services, then wait until all of them are healthy.

In this order, since a service may need its database to get well.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import MAY_STOP, CommandError, compose, output, rests, run, tail

DOCUMENTATION = """
module: dap_content
short_description: Run the one-shot services of a tree, then wait for the health of all others
options:
  project: {description: name of the Compose project, type: str, required: true}
  directory: {description: the tree on the host, type: str, required: true}
  tasks:
    description: one-shot services in their order
    type: list
    elements: str
    required: true
  kept:
    description: volumes whose kept.json has secrets that services gave
    type: list
    elements: str
    required: true
  stale:
    description: in check mode, whether the tree on the host is older than the plan
    type: bool
    required: true
  timeout_s: {description: how long to wait for health in seconds, type: int, default: 240}
"""

INTERVAL_S = 0.5
# A task may await a service whose first start takes long; it knows by itself how long that may be.
TASK_S = 3600
# End of a running container's status: (healthy), (unhealthy) or (health: starting).
EXITED = re.compile(r"Exited \((\d+)\)")
HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")


class UnwellError(Exception):
    """Services are not healthy; `details` is what they say about it."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.details = details


def steps(service: str, text: str) -> list[str]:
    """Return the changes that the output of a one-shot service tells.

    Raises CommandError unless its last line is {"changed": N, "ok": N}.
    """
    lines = text.strip().splitlines()
    try:
        count = int(json.loads(lines[-1])["changed"])
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{service} printed no summary: {tail(text, 5)}") from error
    told = [line.replace(": changed: ", ": ") for line in lines if ": changed: " in line]
    return told if len(told) >= count else [*told, f"{count - len(told)} more in {service}"]


def run_task(directory: str, service: str, check: bool) -> list[str]:
    """Run one service and return its changes; raises CommandError if it fails."""
    arguments = ["run", "--rm", "--no-deps", "--no-TTY", service]
    command = compose(directory, *arguments, *(["--check"] if check else []))
    ran = run(command, timeout_s=TASK_S)
    if ran.returncode:
        raise CommandError(f"{service}: {tail(ran.stdout + ran.stderr)}")
    return steps(service, ran.stdout)


def unwell(project: str) -> dict[str, str]:
    """Return service → state of those that should run and don't, or are not (yet) healthy."""
    label = "label=com.docker.compose"
    filters = ["--filter", f"{label}.project={project}", "--filter", f"{label}.oneoff=False"]
    # Docker itself answers in a tenth of the time that Compose takes for the same.
    line = '{{.Label "com.docker.compose.service"}}\t{{.State}}\t{{.Status}}'
    line += f'\t{{{{.Label "{MAY_STOP}"}}}}'
    listing = output(["docker", "ps", "--all", *filters, "--format", line])
    found = {}
    for service, state, status, may_stop in (each.split("\t") for each in listing.splitlines()):
        exited = EXITED.match(status)
        if rests(state, int(exited[1]) if exited else -1, bool(may_stop)):
            continue
        health = HEALTH.search(status)
        if state != "running" or (health and health[1] != "healthy"):
            found[service] = health[1] if health else state
    return found


def story(directory: str, service: str) -> str:
    """Return the last answer of a service's health check and the end of its log."""
    identifier = output(compose(directory, "ps", "--all", "--quiet", service)).strip()
    state = output(["docker", "inspect", "--format", "{{json .State.Health}}", identifier])
    answers = (json.loads(state) or {}).get("Log") or []
    log = run(["docker", "logs", "--tail", "10", identifier])
    checked = f"health check: {answers[-1]['Output'].strip()[:300]}\n" if answers else ""
    return f"--- {service}\n{checked}{tail(log.stdout + log.stderr, 10)}"


def wait_for_health(project: str, directory: str, timeout_s: float) -> None:
    """Wait until all services are healthy; raises UnwellError if they are not in time."""
    end = time.monotonic() + timeout_s
    while waiting := unwell(project):
        if time.monotonic() > end:
            states = ", ".join(f"{service} ({state})" for service, state in waiting.items())
            details = "\n".join(story(directory, service) for service in waiting)
            raise UnwellError(f"not healthy after {timeout_s:.0f} s: {states}", details)
        time.sleep(INTERVAL_S)


def kept_secrets(volumes: list[str]) -> dict[str, str]:
    """Return the secrets that services gave, from the volumes that are there."""
    found: dict[str, str] = {}
    for volume in volumes:
        inspected = run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", volume])
        file = Path(inspected.stdout.strip(), "kept.json")
        if inspected.returncode == 0 and file.exists():
            found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def running(project: str) -> bool:
    """Tell whether any container of the project runs."""
    label = f"label=com.docker.compose.project={project}"
    return bool(output(["docker", "ps", "--quiet", "--filter", label]))


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "tasks": {"type": "list", "elements": "str", "required": True},
            "kept": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "stale": {"type": "bool", "required": True},
            "timeout_s": {"type": "int", "default": 240},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    changes: list[str] = []
    secrets: dict[str, str] = {}
    try:
        if module.check_mode and (given["stale"] or not running(given["project"])):
            # Their own dry run needs the platform as it will be.
            module.exit_json(changed=True, changes=[f"run {task}" for task in given["tasks"]])
        try:
            for task in given["tasks"]:
                changes += run_task(given["directory"], task, module.check_mode)
        finally:
            secrets = {} if module.check_mode else kept_secrets(given["kept"])
        if not module.check_mode:
            wait_for_health(given["project"], given["directory"], given["timeout_s"])
    except UnwellError as error:
        module.fail_json(
            msg=str(error),
            details=error.details,
            remedy="mend what the log says; deploy again",
            secrets=secrets,
        )
    except CommandError as error:
        remedy = "mend what the output says; deploy again"
        module.fail_json(msg=str(error), remedy=remedy, secrets=secrets)
    module.exit_json(changed=bool(changes), changes=changes, secrets=secrets)


if __name__ == "__main__":
    main()
