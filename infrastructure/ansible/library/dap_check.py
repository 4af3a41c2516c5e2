#!/usr/bin/python
"""Refuse a host that can't carry the platform, before anything on it is changed."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_baseline.host import Host, given
from ansible.module_utils.dap_baseline.plan import changes, refused
from ansible.module_utils.dap_baseline.state import load
from ansible.module_utils.dap_requirements import (
    docker_state,
    examine,
    operating_system,
    problems,
)

DOCUMENTATION = """
module: dap_check
short_description: Refuse a host that can't carry the platform
description: Changes nothing. Fails with all that is in the way, each with a remedy.
options:
  project: {description: name of the platform and of its Compose project, type: str, required: true}
  directory: {description: where the tree lies, type: str, required: true}
  owner: {description: label of the project's vault, type: str, required: true}
  address: {description: IP address that ports bind to, type: str, required: true}
  ports: {description: TCP ports to publish, type: list, elements: int, required: true}
  cores: {description: processors needed, type: int, required: true}
  memory_mib: {description: memory needed in MiB, type: int, required: true}
  disk_gib: {description: free disk space for a first deploy in GiB, type: int, required: true}
  limits:
    description:
      - "service → cpus and memory_mib (0 is no limit), and kept_cpus and kept_memory_mib that the
        host keeps from it"
    type: dict
    required: true
  gpus: {description: "who → all, a number or a list of GPUs", type: dict, required: true}
  baseline: {description: what dap_baseline is told, type: dict, required: true}
"""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
            "cores": {"type": "int", "required": True},
            "memory_mib": {"type": "int", "required": True},
            "disk_gib": {"type": "int", "required": True},
            "limits": {"type": "dict", "required": True},
            "gpus": {"type": "dict", "required": True},
            "baseline": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    docker = docker_state()
    found = problems(examine(module.params, docker))
    wanted = given(module.params["project"], module.params["baseline"])
    host, state = Host(), load()
    found += [{"what": what, "remedy": todo} for what, todo in refused(wanted, host, state)]
    if found:
        module.fail_json(
            msg="; ".join(problem["what"] for problem in found),
            remedy="; ".join(dict.fromkeys(problem["remedy"] for problem in found)),
            refused=True,
            problems=found,
        )
    system = operating_system()
    module.exit_json(
        changed=False,
        docker=docker,
        distribution=system["ID"],
        release=system["VERSION_ID"],
        systemd=host.systemd,
        baseline=[change.what for _, change in changes(wanted, host, state)],
    )


if __name__ == "__main__":
    main()
