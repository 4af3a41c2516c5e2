"""Deploys the baseline to fresh hosts: its role, after that of the check, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dap.engine.playbook import Outcome, run_playbook

from demo.project import ROOT
from tests.fleet import image
from tests.fleet.hosts import BASTION_PORT, FreshHost

SWITCHES = ("updates", "ssh", "time", "firewall", "logs", "docker", "disk", "kernel")
PLATFORM = "fleet"
# As ansible.cfg has them, less the machine's own list of known hosts.
SSH = (
    "-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null "
    "-o StrictHostKeyChecking=no -o LogLevel=ERROR -o IdentitiesOnly=yes"
)


def baseline(on: Iterable[str] = SWITCHES, **told: Any) -> dict[str, Any]:
    """What the inventory says of a host's baseline; `told` is what differs from a bare one."""
    return {
        "switches": {name: name in set(on) for name in SWITCHES},
        "everyone": [],
        "service": [],
        "service_address": "",
        "open": [],
        "forwarding": False,
        **told,
    }


def variables(host: FreshHost, wanted: Mapping[str, Any], ssh: str = "") -> dict[str, Any]:
    """What the inventory says of a host."""
    options = f"{SSH} {ssh}"
    if host.member.hidden:
        plain = " ".join(host.fleet.ssh_options)
        bastion = f"{image.ACCOUNT}@{host.fleet.bastion_address}"
        options += f" -o ProxyCommand='ssh {plain} -p{BASTION_PORT} -W %h:%p {bastion}'"
    return {
        "ansible_host": host.address,
        "ansible_user": host.member.user,
        "ansible_port": host.member.port,
        "ansible_ssh_private_key_file": str(host.fleet.key),
        "ansible_ssh_args": options,
        "ansible_timeout": 5,
        "dap_become": host.member.user != "root",
        "dap_project": PLATFORM,
        "dap_directory": f"/srv/dap/{PLATFORM}",
        "dap_owner": "",
        "dap_address": "127.0.0.1",
        "dap_ports": [],
        "dap_minimum": {"cores": 1, "memory_mib": 512, "disk_gib": 1},
        "dap_limits": {},
        "dap_gpus": {},
        "dap_packages": {"apt_mirror": ""},
        "dap_audit": {},
        "dap_baseline": wanted,
    }


def deploy(
    wanted: Mapping[FreshHost, Mapping[str, Any]],
    folder: Path,
    *,
    check: bool = False,
    ssh: str = "",
    engine: bool = False,
) -> Outcome:
    """Deploy to hosts at the same time.

    Args:
        wanted: host → its baseline.
        folder: gets inventory and log.
        check: tell what would change.
        ssh: further options of the client.
        engine: have Docker's engine, too.
    """
    inventory = folder / "inventory.json"
    hosts = {host.name: variables(host, each, ssh) for host, each in wanted.items()}
    inventory.write_text(json.dumps({"platform": {"hosts": hosts}}), encoding="utf-8")
    return run_playbook(
        ROOT,
        str(Path("..", "..", Path(__file__).with_name("play").relative_to(ROOT))),
        inventory,
        log=folder / "logs" / "deploy.log",
        check=check,
        variables={"with_engine": engine},
    )


def told(outcome: Outcome) -> list[str]:
    """Changes of an outcome, which must not have failed."""
    assert not outcome.failures, outcome.failures
    return [f"{each['host']}: {each['change']}" for each in outcome.changes()]
