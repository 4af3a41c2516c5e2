#!/usr/bin/python
"""Take a platform off a host. Data stays unless it is to go, too."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import output, owner_of

DOCUMENTATION = """
module: dap_down
short_description: Take a platform off a host
options:
  project: {description: name of the Compose project, type: str, required: true}
  directory: {description: the tree on the host, type: str, required: true}
  owner: {description: label of the project's vault, type: str, required: true}
  delete_data: {description: whether volumes and the tree go too, type: bool, required: true}
  drain_s: {description: how long jobs may go on before in seconds, type: int, default: 0}
"""

KEPT = "audit.log"
JOB = "dap.pipeline"  # label of what a pipeline makes
INTERVAL_S = 1.0


def listed(*command: str) -> list[str]:
    """Return the words that a docker command lists."""
    return output(["docker", *command]).split()


def drain(project: str, patience_s: float) -> list[str]:
    """Wait for the end of the jobs that run here; return the containers of those that go on."""
    wanted = ["--filter", f"label=dap.platform={project}", "--filter", f"label={JOB}"]
    end = time.monotonic() + patience_s
    while jobs := listed("ps", *wanted, "--format", "{{.Names}}"):
        if time.monotonic() > end:
            break
        time.sleep(INTERVAL_S)
    return jobs


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "delete_data": {"type": "bool", "required": True},
            "drain_s": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    directory = module.params["directory"]
    if owner_of(directory) not in ("", module.params["owner"]):
        module.fail_json(
            msg=f"{directory} holds the platform of another project, which has other secrets",
            remedy="destroy it from there; if that project is lost, by hand on the host: "
            f"docker compose --project-directory {directory} down",
            refused=True,
        )
    label = ["--filter", f"label=com.docker.compose.project={module.params['project']}"]
    changes: list[str] = []
    docker = shutil.which("docker") is not None

    def remove(kind: str, names: list[str], *command: str) -> None:
        changes.extend(f"remove {kind} {name}" for name in names)
        if names and not module.check_mode:
            output(["docker", *command, *names])

    if docker:
        if module.params["drain_s"] and not module.check_mode:
            jobs = drain(module.params["project"], module.params["drain_s"])
            changes.extend(f"end job {name}" for name in jobs)
        networks = listed("network", "ls", *label, "--format", "{{.Name}}")
        mine = listed("ps", "--all", *label, "--format", "{{.Names}}")
        # Jobs run on the platform's networks without being services of it.
        guests = [
            name
            for network in networks
            for name in listed(
                "ps", "--all", "--filter", f"network={network}", "--format", "{{.Names}}"
            )
        ]
        remove("container", sorted({*mine, *guests}), "rm", "--force")
        remove("network", networks, "network", "rm")
        if module.params["delete_data"]:
            volumes = listed("volume", "ls", *label, "--format", "{{.Name}}")
            remove("volume", volumes, "volume", "rm")
    tree = Path(directory)
    if module.params["delete_data"] and tree.is_dir():
        for path in sorted(tree.iterdir()):
            if path.name == KEPT:
                continue
            changes.append(f"remove {path}")
            if not module.check_mode:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    kept = [] if module.params["delete_data"] or not docker else listed(
        "volume", "ls", *label, "--format", "{{.Name}}"
    )  # fmt: skip
    module.exit_json(changed=bool(changes), changes=changes, kept=kept)


if __name__ == "__main__":
    main()
