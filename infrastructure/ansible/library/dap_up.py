#!/usr/bin/python
"""Bring a tree up: containers that differ from it are made anew, all others are left alone."""

from __future__ import annotations

import re
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import (
    MAY_STOP,
    CommandError,
    compose,
    json_lines,
    output,
    rests,
    run,
    tail,
)

DOCUMENTATION = """
module: dap_up
short_description: Bring a tree up
options:
  project: {description: name of the Compose project, type: str, required: true}
  directory: {description: the tree on the host, type: str, required: true}
  compose: {description: text of the Compose file for check mode, type: str, required: true}
"""

LABEL = "com.docker.compose"
EXITED = re.compile(r"Exited \((\d+)\)")


def labels(container: dict[str, Any]) -> dict[str, str]:
    """Read the labels as `docker ps` prints them."""
    return dict(part.partition("=")[::2] for part in container["Labels"].split(",") if "=" in part)


def containers(project: str) -> dict[str, dict[str, Any]]:
    """Return service → id, state and configuration hash of the project's containers.

    One that rests is stopped because that was wanted.
    """
    filters = [
        "--filter",
        f"label={LABEL}.project={project}",
        "--filter",
        f"label={LABEL}.oneoff=False",
    ]
    listing = output(["docker", "ps", "--all", "--no-trunc", *filters, "--format", "{{json .}}"])
    found = {}
    for container in json_lines(listing):
        label = labels(container)
        exited = EXITED.match(container["Status"])
        status = int(exited[1]) if exited else -1
        found[label.get(f"{LABEL}.service", container["Names"])] = {
            "id": container["ID"],
            "running": container["State"] == "running",
            "rests": rests(container["State"], status, MAY_STOP in label),
            "hash": label.get(f"{LABEL}.config-hash", ""),
        }
    return found


def wanted(directory: str, text: str) -> dict[str, str]:
    """Return service → configuration hash, as Compose computes it from a Compose file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        hashes = output(compose(directory, "config", "--hash", "*", file=file.name))
    return dict(line.split() for line in hashes.splitlines() if line.strip())


def expected(before: dict[str, dict[str, Any]], hashes: dict[str, str]) -> list[str]:
    """Return what `up` would do."""
    changes = []
    for service, digest in sorted(hashes.items()):
        if service not in before:
            changes.append(f"create {service}")
        elif before[service]["rests"]:
            continue
        elif before[service]["hash"] != digest:
            changes.append(f"recreate {service}")
        elif not before[service]["running"]:
            changes.append(f"start {service}")
    return changes + [f"remove {service}" for service in sorted(set(before) - set(hashes))]


def done(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """Return what `up` did."""
    changes = []
    for service, container in sorted(after.items()):
        if service not in before:
            changes.append(f"create {service}")
        elif before[service]["id"] != container["id"]:
            changes.append(f"recreate {service}")
        elif container["running"] and not before[service]["running"]:
            changes.append(f"start {service}")
    return changes + [f"remove {service}" for service in sorted(set(before) - set(after))]


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "compose": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    project, directory = module.params["project"], module.params["directory"]
    try:
        before = containers(project)
        if module.check_mode:
            changes = expected(before, wanted(directory, module.params["compose"]))
            module.exit_json(changed=bool(changes), changes=changes)
        # Images are there by now: one that is missing is a mistake to show, not to hide by a pull.
        command = ["up", "--detach", "--remove-orphans", "--no-build", "--pull", "never"]
        resting = {service for service, container in before.items() if container["rests"]}
        if resting:
            planned = output(compose(directory, "config", "--services")).split()
            command += sorted(set(planned) - resting)
        up = run(compose(directory, *command))
        if up.returncode:
            module.fail_json(
                msg=f"docker compose up: {tail(up.stderr, 5)}",
                remedy=f"on the host: docker compose --project-directory {directory} up",
            )
        changes = done(before, containers(project))
    except CommandError as error:
        module.fail_json(msg=str(error), remedy="see that Docker's engine runs")
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
