#!/usr/bin/python
"""Run the one-shot services of a tree: they make what lives inside the services."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, compose, output, run, tail

DOCUMENTATION = """
module: dap_content
short_description: Run the one-shot services of a tree
options:
  project: {description: name of the Compose project, type: str, required: true}
  directory: {description: the tree on the host, type: str, required: true}
  tasks: {description: one-shot services in their order, type: list, elements: str, required: true}
  stale: {description: in check mode, whether the tree on the host is older than the plan, type: bool, default: false}
"""


def steps(service: str, text: str) -> list[str]:
    """Return the changes that the output of a one-shot service tells.

    Raises CommandError unless its last line is {"changed": N, "ok": N}.
    """
    lines = text.strip().splitlines()
    try:
        count = int(json.loads(lines[-1])["changed"])
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{service} printed no summary: {tail(text, 5)}") from error
    told = [line.split(":", 1)[1].strip() for line in lines if line.startswith("changed:")]
    return told if len(told) >= count else told + [f"{count - len(told)} more in {service}"]


def run_task(given: dict[str, Any], service: str, check: bool) -> list[str]:
    """Run one service and return its changes; raises CommandError if it fails."""
    arguments = ["run", "--rm", "--no-deps", "--no-TTY", "--quiet-pull", service]
    ran = run(compose(given["directory"], *arguments, *(["--check"] if check else [])))
    if ran.returncode:
        raise CommandError(f"{service}: {tail(ran.stdout + ran.stderr)}")
    return steps(service, ran.stdout)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "tasks": {"type": "list", "elements": "str", "required": True},
            "stale": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given, changes = module.params, []
    try:
        for service in given["tasks"]:
            if module.check_mode and (given["stale"] or not running(given["project"])):
                # Its own dry run needs the platform as it will be.
                changes.append(f"run {service}")
                continue
            changes += run_task(given, service, module.check_mode)
    except CommandError as error:
        module.fail_json(
            msg=str(error),
            remedy=f"on the host: docker compose --project-directory {given['directory']} logs",
        )
    module.exit_json(changed=bool(changes), changes=changes)


def running(project: str) -> bool:
    """Tell whether any container of the project runs."""
    return bool(output(["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={project}"]))


if __name__ == "__main__":
    main()
