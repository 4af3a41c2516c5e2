#!/usr/bin/python
"""Wait until all services of a tree are healthy."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, compose, json_lines, output, run, tail

DOCUMENTATION = """
module: dap_health
short_description: Wait until all services of a tree are healthy
options:
  directory: {description: the tree on the host, type: str, required: true}
  timeout_s: {description: how long to wait in seconds, type: int, default: 240}
"""

INTERVAL_S = 0.5


def unwell(directory: str) -> dict[str, str]:
    """Return service → state of those that don't run or are not (yet) healthy."""
    listing = output(compose(directory, "ps", "--all", "--format", "json"))
    containers = json_lines(listing)
    if not containers:
        return {"all services": "not there"}
    return {
        c["Service"]: c["Health"] or c["State"]
        for c in containers
        if c["State"] != "running" or c["Health"] not in ("", "healthy")
    }


def story(directory: str, service: str) -> str:
    """Return the last answer of a service's health check and the end of its log."""
    identifier = output(compose(directory, "ps", "--all", "--quiet", service)).strip()
    health: Any = json.loads(
        output(["docker", "inspect", "--format", "{{json .State.Health}}", identifier])
    )
    answers = (health or {}).get("Log") or []
    log = run(["docker", "logs", "--tail", "10", identifier])
    checked = f"health check: {answers[-1]['Output'].strip()[:300]}\n" if answers else ""
    return f"--- {service}\n{checked}{tail(log.stdout + log.stderr, 10)}"


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "str", "required": True},
            "timeout_s": {"type": "int", "default": 240},
        },
        supports_check_mode=True,
    )
    directory = module.params["directory"]
    if module.check_mode:
        module.exit_json(changed=False, changes=[])
    end = time.monotonic() + module.params["timeout_s"]
    try:
        waiting = unwell(directory)
        while waiting and time.monotonic() < end:
            time.sleep(INTERVAL_S)
            waiting = unwell(directory)
        if waiting:
            module.fail_json(
                msg="not healthy: " + ", ".join(f"{s} ({state})" for s, state in waiting.items()),
                details="\n".join(story(directory, s) for s in waiting if s != "all services"),
                remedy="the log above says why; mend it and deploy again",
            )
    except CommandError as error:
        module.fail_json(msg=str(error), remedy="see that Docker's engine runs")
    module.exit_json(changed=False, changes=[])


if __name__ == "__main__":
    main()
