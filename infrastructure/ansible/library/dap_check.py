#!/usr/bin/python
"""Refuse a host that can't carry the platform, before anything on it is changed."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, json_lines, owner_of, run

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
  limits: {description: service → cpus and memory_mib (0 is no limit), type: dict, required: true}
"""

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Compose: additional build contexts; buildx: bake with contexts between targets.
ENGINE_MINIMUM, COMPOSE_MINIMUM, BUILDX_MINIMUM = (23, 0), (2, 18), (0, 10)
LISTEN = "0A"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  what other programs bind to


def version(text: str) -> tuple[int, ...]:
    """Read the leading numbers of a version such as v2.26.1-4."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def operating_system() -> dict[str, str]:
    """Return ID, VERSION_ID and PRETTY_NAME of /etc/os-release."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def docker_state() -> dict[str, Any]:
    """Tell which of engine, Compose and buildx are there and new enough."""
    state: dict[str, Any] = {"installed": False, "running": False, "ready": False}
    try:
        done = run(["docker", "info", "--format", "{{json .}}"], timeout_s=30)
        info = json.loads(done.stdout or "{}")
    except (CommandError, ValueError):
        return state
    plugins = {
        p["Name"]: p.get("Version", "") for p in info.get("ClientInfo", {}).get("Plugins") or []
    }
    tools = (
        version(plugins.get("compose", "")) >= COMPOSE_MINIMUM
        and version(plugins.get("buildx", "")) >= BUILDX_MINIMUM
    )
    state["running"] = bool(info.get("ServerVersion"))
    state["engine"] = info.get("ServerVersion") or ""
    state["installed"] = tools and shutil.which("dockerd") is not None
    state["ready"] = state["running"] and tools and version(state["engine"]) >= ENGINE_MINIMUM
    return state


def listeners() -> dict[int, list[tuple[str, str]]]:
    """Return port → (IP address, socket inode) of all listening TCP sockets."""
    found: dict[int, list[tuple[str, str]]] = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        table = Path("/proc/net", name)
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] != LISTEN:
                continue
            address, port = fields[1].split(":")
            raw = bytes.fromhex(address)
            words = [raw[i : i + 4][::-1] for i in range(0, len(raw), 4)]
            text = socket.inet_ntop(family, b"".join(words))
            found.setdefault(int(port, 16), []).append((text, fields[9]))
    return found


def process_of(inode: str) -> str:
    """Name the process that holds a socket, or say that it is unknown."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue
    return "an unknown process"


def taken_ports(
    project: str, address: str, ports: list[int], running: bool
) -> list[dict[str, str]]:
    """Return a problem for each port that something else than this platform listens on."""
    wanted = {port: held for port, held in listeners().items() if port in ports}
    if address not in EVERYWHERE:
        everywhere = {*EVERYWHERE, f"::ffff:{address}", address}
        wanted = {p: [h for h in held if h[0] in everywhere] for p, held in wanted.items()}
    wanted = {port: held for port, held in wanted.items() if held}
    if wanted and running:
        listing = run(["docker", "ps", "--format", "{{json .}}"])
        containers = json_lines(listing.stdout)
    else:
        containers = []
    problems = []
    for port, held in sorted(wanted.items()):
        owners = [c for c in containers if re.search(rf":{port}->", c["Ports"])]
        if any(f"com.docker.compose.project={project}" in c["Labels"].split(",") for c in owners):
            continue
        holder = f"container {owners[0]['Names']}" if owners else process_of(held[0][1])
        problems.append(
            {
                "what": f"port {port} on {held[0][0]} is in use by {holder}",
                "remedy": "stop it, or change ports or address in platform.yml",
            }
        )
    return problems


def check(arguments: dict[str, Any], docker: dict[str, Any]) -> list[dict[str, str]]:
    """Return all that is in the way: what it is and the remedy."""
    problems: list[dict[str, str]] = []

    def refuse(what: str, remedy: str) -> None:
        problems.append({"what": what, "remedy": remedy})

    system = operating_system()
    if system.get("VERSION_ID") not in SUPPORTED.get(system.get("ID", ""), ()):
        refuse(
            f"operating system is {system.get('PRETTY_NAME', 'unknown')}",
            "use Debian 12 or 13, or Ubuntu 22.04 or 24.04",
        )
    if platform.machine() not in ARCHITECTURES:
        refuse(f"processor architecture is {platform.machine()}", "use x86_64 or aarch64")
    if os.geteuid() != 0:
        refuse("the deploying account is not root", "log in as root, or give the account sudo")
    cores = len(os.sched_getaffinity(0))
    if cores < arguments["cores"]:
        refuse(f"{cores} processor cores, {arguments['cores']} needed", "use a larger machine")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    if memory < arguments["memory_mib"]:
        refuse(f"{memory} MiB of memory, {arguments['memory_mib']} needed", "use a larger machine")
    # The kernel keeps some of the memory that a machine is sold with to itself.
    whole = -(-memory // 1024) * 1024
    for name, limit in sorted(arguments["limits"].items()):
        remedy = f"lower it in platform.yml: the workspace {name}, or resources.{name}"
        if limit["cpus"] > cores:
            refuse(f"{name} asks for {limit['cpus']:g} cpus, there are {cores}", remedy)
        if limit["memory_mib"] > whole:
            refuse(f"{name} asks for {limit['memory_mib']} MiB of memory, {memory} there", remedy)
    directory = arguments["directory"]
    if owner_of(directory) not in ("", arguments["owner"]):
        refuse(
            f"{directory} holds the platform of another project, which has other secrets",
            "choose another name in platform.yml, or remove that platform with its data from there",
        )
    deployed = Path(directory, "compose.yml").exists()
    # Images and volumes are there already on a later deploy; what is left is room for changes.
    needed = 1 if deployed else arguments["disk_gib"]
    for place in {arguments["directory"], "/var/lib/docker"}:
        path = Path(place)
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free // 2**30
        if free < needed:
            refuse(f"{free} GiB free for {place}, {needed} needed", "free or add disk space")
    problems += taken_ports(
        arguments["project"], arguments["address"], arguments["ports"], docker["running"]
    )
    return problems


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
        },
        supports_check_mode=True,
    )
    docker = docker_state()
    problems = check(module.params, docker)
    if problems:
        module.fail_json(
            msg="; ".join(problem["what"] for problem in problems),
            remedy="; ".join(dict.fromkeys(problem["remedy"] for problem in problems)),
            refused=True,
            problems=problems,
        )
    system = operating_system()
    module.exit_json(
        changed=False,
        docker=docker,
        distribution=system["ID"],
        release=system["VERSION_ID"],
        systemd=Path("/run/systemd/system").is_dir(),
    )


if __name__ == "__main__":
    main()
