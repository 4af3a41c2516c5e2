"""What a host must be to carry the platform: a deploy refuses the rest, the doctor tells of all.

Changes nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import CommandError, json_lines, owner_of, run

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Compose: additional build contexts; buildx: bake with contexts between targets.
ENGINE_MINIMUM, COMPOSE_MINIMUM, BUILDX_MINIMUM = (23, 0), (2, 18), (0, 10)
LISTEN = "0A"
# Addresses that stand for all of a host, and where it reaches itself then.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what programs bind to
DOCKER_ROOT = "/var/lib/docker"  # where an engine keeps its data unless told otherwise
ROOM_GIB = 1  # free disk space that changes of a deployed platform need
SCARCE = 0.1  # share of a disk below which what is free runs out unnoticed

Finding = dict[str, str]


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
    state["compose"], state["buildx"] = plugins.get("compose", ""), plugins.get("buildx", "")
    state["root"] = info.get("DockerRootDir") or ""
    state["runtimes"] = sorted(info.get("Runtimes") or {})
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


def finding(level: str, where: str, what: str, remedy: str = "") -> Finding:
    """Return one finding; `level` is ok, warning or problem."""
    return {"level": level, "where": where, "what": what, "remedy": remedy}


def publishes(container: dict[str, Any], addresses: set[str], port: int) -> bool:
    """Tell whether a line of `docker ps` shows the port on one of the addresses."""
    # Neighbours are shown as one: 127.0.0.1:2200-2201->2200-2201/tcp.
    shown = re.findall(r"([0-9a-f.:]+?)]?:(\d+)(?:-(\d+))?->", container["Ports"])
    return any(
        ip in addresses and int(first) <= port <= int(last or first) for ip, first, last in shown
    )


def taken_ports(project: str, address: str, ports: list[int], running: bool) -> list[Finding]:
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
        owners = [c for c in containers if publishes(c, {ip for ip, _ in held}, port)]
        if any(f"com.docker.compose.project={project}" in c["Labels"].split(",") for c in owners):
            continue
        holder = f"container {owners[0]['Names']}" if owners else process_of(held[0][1])
        problems.append(
            finding(
                "problem",
                "ports",
                f"port {port} on {held[0][0]} is in use by {holder}",
                "stop it, or change ports or address in platform.yml",
            )
        )
    return problems


def the_system() -> Iterator[Finding]:
    """Judge operating system, processor architecture and account."""
    system = operating_system()
    if system.get("VERSION_ID") in SUPPORTED.get(system.get("ID", ""), ()):
        yield finding("ok", "system", system.get("PRETTY_NAME", system["ID"]))
    else:
        yield finding(
            "problem",
            "system",
            f"operating system is {system.get('PRETTY_NAME', 'unknown')}",
            "use Debian 12 or 13, or Ubuntu 22.04 or 24.04",
        )
    if platform.machine() in ARCHITECTURES:
        yield finding("ok", "architecture", platform.machine())
    else:
        what = f"processor architecture is {platform.machine()}"
        yield finding("problem", "architecture", what, "use x86_64 or aarch64")
    if os.geteuid() == 0:
        yield finding("ok", "account", "root, or may become root without a password")
    else:
        what = "the deploying account is not root"
        yield finding("problem", "account", what, "log in as root, or give the account sudo")


def processors() -> int:
    """Return how many processor cores there are for programs."""
    return len(os.sched_getaffinity(0))


def memory_mib() -> int:
    """Return the memory that the kernel has for programs in MiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def the_size(cores_needed: int, memory_needed: int, limits: dict[str, Any]) -> Iterator[Finding]:
    """Judge processors and memory (in MiB), and the limits of services against them."""
    cores, memory = processors(), memory_mib()
    for where, found, needed, there in (
        ("cores", cores, cores_needed, f"{cores} processor cores"),
        ("memory", memory, memory_needed, f"{memory} MiB of memory"),
    ):
        enough = found >= needed
        remedy = "" if enough else "use a larger machine"
        yield finding("ok" if enough else "problem", where, f"{there}, {needed} needed", remedy)
    # The kernel keeps some of the memory that a machine is sold with to itself.
    whole = -(-memory // 1024) * 1024
    for name, limit in sorted(limits.items()):
        remedy = f"lower it in platform.yml: the workspace {name}, or resources.{name}"
        kept_cpus, kept_memory = limit.get("kept_cpus", 0), limit.get("kept_memory_mib", 0)
        if limit["cpus"] + kept_cpus > cores:
            what = f"{name} asks for {limit['cpus']:g} cpus, there are {cores}"
            what += f", {kept_cpus:g} of them reserved for the host" if kept_cpus else ""
            yield finding("problem", "limits", what, remedy)
        if limit["memory_mib"] + kept_memory > whole:
            what = f"{name} asks for {limit['memory_mib']} MiB of memory, {memory} there"
            what += f", {kept_memory} of them reserved for the host" if kept_memory else ""
            yield finding("problem", "limits", what, remedy)


def graphics() -> list[tuple[int | None, str]]:
    """Return index and UUID of each GPU that NVIDIA's driver shows; a part of one has no index.

    Raises CommandError when nvidia-smi is not there.
    """
    listed = run(["nvidia-smi", "-L"], timeout_s=30)
    if listed.returncode:
        return []
    whole = re.findall(r"^GPU (\d+):.*\(UUID: (GPU-[^)]+)\)", listed.stdout, re.MULTILINE)
    parts = re.findall(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)", listed.stdout, re.MULTILINE)
    return [*((int(index), uuid) for index, uuid in whole), *((None, uuid) for uuid in parts)]


def the_gpus(asked: dict[str, Any]) -> Iterator[Finding]:
    """Judge what is asked for (who → `all`, a number or a list of indices or UUIDs)."""
    if not asked:
        return
    try:
        found = graphics()
    except CommandError:
        found = []
    count = sum(index is not None for index, _ in found)
    names = {name for index, uuid in found for name in (str(index), uuid) if name != "None"}
    remedy = "lower gpus in platform.yml, or use a machine with more"
    if not found:
        remedy = "leave gpus out of platform.yml, or use a machine with NVIDIA's GPU and driver"
    shown = f"{count} there" if found else "none there that NVIDIA's driver shows"
    enough = True
    for who, gpus in sorted(asked.items()):
        if isinstance(gpus, list):
            missing = [str(each) for each in gpus if str(each) not in names]
            what = f"{who}: gpus: no GPU {', '.join(missing)}; {shown}" if missing else ""
        elif gpus == "all":
            what = "" if found else f"{who}: gpus: asks for all GPUs, {shown}"
        else:
            plural = "GPU" if gpus == 1 else "GPUs"
            what = "" if gpus <= count else f"{who}: gpus: asks for {gpus} {plural}, {shown}"
        if what:
            enough = False
            yield finding("problem", "gpu", what, remedy)
    if enough:
        yield finding("ok", "gpu", f"{shown}, enough for {', '.join(sorted(asked))}")


def the_directory(directory: str, owner: str) -> Iterator[Finding]:
    """Judge whose platform the tree is."""
    if owner_of(directory) not in ("", owner):
        yield finding(
            "problem",
            "directory",
            f"{directory} holds the platform of another project, which has other secrets",
            "choose another name in platform.yml, or remove that platform with its data from there",
        )


def deployed(directory: str) -> bool:
    """Tell whether a tree is there."""
    return Path(directory, "compose.yml").exists()


def disks(places: set[str]) -> list[dict[str, Any]]:
    """Return each file system that a place is, or would be, on: places and bytes of it."""
    found: dict[int, dict[str, Any]] = {}
    for place in sorted(places):
        path = Path(place)
        while not path.exists():
            path = path.parent
        usage = shutil.disk_usage(path)
        disk = found.setdefault(
            path.stat().st_dev,
            {"places": [], "total": usage.total, "used": usage.used, "free": usage.free},
        )
        disk["places"].append(place)
    return list(found.values())


def left(disk: dict[str, Any]) -> float:
    """Return the share of a disk that is free for programs, as df counts."""
    return float(disk["free"] / max(1, disk["free"] + disk["used"]))


def disk_level(disk: dict[str, Any], needed_gib: int) -> str:
    """Judge a disk: problem if too little is free, warning if little is left, else ok."""
    if disk["free"] < needed_gib * 2**30:
        return "problem"
    return "warning" if left(disk) < SCARCE else "ok"


def the_disks(directory: str, docker_root: str, first_gib: int) -> Iterator[Finding]:
    """Judge free disk space; `first_gib` GiB are needed for a first deploy."""
    # Images and volumes are there already on a later deploy; what is left is room for changes.
    needed = ROOM_GIB if deployed(directory) else first_gib
    for disk in disks({directory, docker_root}):
        free = f"{disk['free'] // 2**30} GiB ({left(disk):.0%}) free"
        what = f"{free} for {' and '.join(disk['places'])}, {needed} GiB needed"
        level = disk_level(disk, needed)
        yield finding(level, "disk", what, "" if level == "ok" else "free or add disk space")


def has_address(address: str) -> bool:
    """Tell whether a socket can be bound to an IP address here."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True


def the_ports(project: str, address: str, ports: list[int], running: bool) -> Iterator[Finding]:
    """Judge whether the address is this host's, and the ports this platform's or free."""
    if ports and not has_address(address):
        remedy = "set address in platform.yml to one that `ip address` shows there, or 0.0.0.0"
        yield finding("problem", "ports", f"the host has no address {address}", remedy)
        return
    taken = taken_ports(project, address, ports, running)
    yield from taken
    if not taken:
        listed = ", ".join(str(port) for port in sorted(ports))
        yield finding("ok", "ports", f"{listed} on {address}: free, or this platform's")


def examine(arguments: dict[str, Any], docker: dict[str, Any]) -> list[Finding]:
    """Judge a host: `arguments` are those of the module dap_check, `docker` is its state."""
    given = arguments
    return [
        *the_system(),
        *the_size(given["cores"], given["memory_mib"], given["limits"]),
        *the_gpus(given["gpus"]),
        *the_directory(given["directory"], given["owner"]),
        *the_disks(given["directory"], docker.get("root") or DOCKER_ROOT, given["disk_gib"]),
        *the_ports(given["project"], given["address"], given["ports"], docker["running"]),
    ]


def problems(findings: list[Finding]) -> list[dict[str, str]]:
    """Return what is in the way of a deploy: what it is and the remedy."""
    return [
        {"what": each["what"], "remedy": each["remedy"]}
        for each in findings
        if each["level"] == "problem"
    ]
