"""Looks at a platform on its host: containers and what they use, disks, certificates."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import MAY_STOP, rests
from ansible.module_utils.dap_machine import ANCHORS
from ansible.module_utils.dap_requirements import (
    DOCKER_ROOT,
    EVERYWHERE,
    ROOM_GIB,
    disk_level,
    disks,
    finding,
    left,
)

from dap.onhost import docker, handshake, logs

CGROUPS = Path("/sys/fs/cgroup")
# Where timers of the host leave what they found; the baseline's disk watch is one.
WATCHED = Path("/var/lib/dap/findings")
STALE_S = 3600  # a timer that has not written for so long does not run
# Long enough between two readings of the processor time for a figure of one percent.
INTERVAL_S = 0.5
THREADS = 8


def main(arguments: dict[str, Any]) -> None:
    """Print the facts; `arguments`: project, and directory of its tree."""
    print(json.dumps(facts(arguments["project"], arguments["directory"])))


def facts(project: str, directory: str) -> dict[str, Any]:
    """Return what is deployed and how it is: plan, engine, containers, disks, certificates.

    What can't be seen has an `error` instead.
    """
    deployed = plan(directory)
    if deployed is None:
        return {"plan": None}
    found: dict[str, Any] = {"plan": deployed, "engine": {}, "containers": []}
    root = DOCKER_ROOT
    try:
        # The engine counts its images to answer this; containers are looked at meanwhile.
        with ThreadPoolExecutor(max_workers=1) as pool:
            info = pool.submit(docker.get, "/info")
            found["containers"] = containers(project)
            found["engine"] = {"version": info.result()["ServerVersion"]}
            root = info.result()["DockerRootDir"]
    except docker.EngineError as error:
        found["engine"] = {"error": str(error)}
    found["disks"] = [
        {**disk, "left": left(disk), "level": disk_level(disk, ROOM_GIB)}
        for disk in disks({directory, root})
    ]
    scarce = [disk for disk in found["disks"] if disk["level"] != "ok"]
    found["watched"] = watched({device(place) for disk in scarce for place in disk["places"]})
    found["certificates"] = {**shown(deployed), "authority": authority(project)}
    return found


def shown(deployed: dict[str, Any]) -> dict[str, Any]:
    """Return the certificate that the proxy of this host shows: to everybody, or to other hosts."""
    settings = deployed["settings"]
    ports = settings["ports"]
    if deployed["service"]:
        address = EVERYWHERE.get(settings["address"], settings["address"])
        return {"server": handshake.shown(address, ports["https"], settings["domain"])}
    if all(route["host"] != deployed["host"] for route in deployed["routes"]):
        return {}
    return {"host": handshake.shown(deployed["listen"], ports["hosts"], deployed["host"])}


def watched(shown: set[int | None]) -> list[dict[str, str]]:
    """Return what timers found (level, where, what, remedy); `shown`: devices told of anyway."""
    found = []
    for path in sorted(WATCHED.glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        age = time.time() - told["time"]
        if age > STALE_S:
            what = f"dap-{path.stem}.timer has not looked for {age / 3600:.0f} h"
            remedy = f"on the host: systemctl status dap-{path.stem}.timer"
            found.append(finding("warning", path.stem, what, remedy))
            continue
        for each in told["findings"]:
            if device(each["place"]) not in shown:
                parts = ("level", "where", "what", "remedy")
                found.append({part: each[part] for part in parts})
    return found


def device(place: str) -> int | None:
    """Return the file system's device number of a place, None if it is not there."""
    try:
        return os.stat(place).st_dev
    except OSError:
        return None


def plan(directory: str) -> dict[str, Any] | None:
    """Return what was deployed; None if nothing was, or by a version that told less of it."""
    path = Path(directory, "plan.json")
    if not path.exists():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    parts = ("host", "listen", "service", "settings", "services", "routes", "streams")
    return {part: told[part] for part in parts} if told.keys() >= set(parts) else None


def containers(project: str) -> list[dict[str, Any]]:
    """Return state, health and use of each container of a Compose project."""
    listed = docker.containers(project)
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        began = list(pool.map(_used, listed))
        details = list(pool.map(_detail, listed))
        last = max((use["at"] for use in began if use), default=0.0)
        time.sleep(max(0.0, INTERVAL_S - (time.monotonic() - last)))
        ended = list(pool.map(_used, listed))
    return [
        _container(docker.service(listed[i]), detail, began[i], ended[i])
        for i, detail in enumerate(details)
        if detail is not None
    ]


def _detail(listed: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return dict(docker.get(f"/containers/{listed['Id']}/json"))
    except docker.GoneError:
        return None


def _used(listed: dict[str, Any]) -> dict[str, Any]:
    """Return processor time in ns, memory in bytes and when that was; empty if it doesn't run."""
    if listed["State"] != "running":
        return {}
    path = f"/containers/{listed['Id']}/stats"
    try:
        told = docker.get(path, stream="false", **{"one-shot": "true"})
    except docker.GoneError:
        return {}
    memory = told.get("memory_stats") or {}
    stats = memory.get("stats") or {}
    # What the kernel would give back at once is no use of memory: the client counts so, too.
    idle = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return {
        "at": time.monotonic(),
        "cpu_ns": told["cpu_stats"]["cpu_usage"]["total_usage"],
        "memory": max(0, memory.get("usage", 0) - idle),
    }


def _container(
    service: str, detail: dict[str, Any], began: dict[str, Any], ended: dict[str, Any]
) -> dict[str, Any]:
    state, host = detail["State"], detail["HostConfig"]
    health = state.get("Health") or {}
    checks = health.get("Log") or []
    labels = detail["Config"]["Labels"]
    resting = rests(state["Status"], state["ExitCode"], MAY_STOP in labels)
    cpu = None
    if began and ended and ended["at"] > began["at"]:
        cpu = (ended["cpu_ns"] - began["cpu_ns"]) / (ended["at"] - began["at"]) / 1e7
    return {
        "service": service,
        "container": detail["Name"].lstrip("/"),
        "id": detail["Id"],
        "image": detail["Config"]["Image"],
        "digest": detail["Image"],
        "state": state["Status"],
        "health": health.get("Status", ""),
        "said": checks[-1]["Output"] if checks else "",
        "exit_status": state["ExitCode"],
        "rests": resting,
        "last_words": last_words(detail) if resting else "",
        "error": state.get("Error", ""),
        "out_of_memory": state.get("OOMKilled", False),
        "oom_kills": oom_kills(state["Pid"]) if state["Pid"] else None,
        "restarts": detail["RestartCount"],
        "started": state["StartedAt"],
        "finished": state["FinishedAt"],
        "cpu_percent": cpu,
        "memory_used": ended.get("memory"),
        "memory_limit": host["Memory"] or None,
    }


def last_words(detail: dict[str, Any]) -> str:
    """Return the last line that a container said."""
    listed = {"Id": detail["Id"], "Labels": detail["Config"]["Labels"]}
    return next((entry["text"] for entry in logs.said(listed, 0, 1)), "")


def oom_kills(pid: int) -> int | None:
    """Return how many processes of a container the kernel killed for lack of memory.

    Counted by the control group of process `pid` since the container started; None if that is
    not to be read.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
        groups = {kinds: path for _, kinds, path in (line.split(":", 2) for line in lines)}
        if "memory" in groups:
            file = CGROUPS / "memory" / groups["memory"].lstrip("/") / "memory.oom_control"
        else:
            file = CGROUPS / groups[""].lstrip("/") / "memory.events"
        counts = dict(line.split() for line in file.read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def authority(project: str) -> dict[str, str]:
    """Return the CA that the last deploy let this host trust, in PEM, or the error."""
    path = ANCHORS / f"dap-{project}.crt"
    try:
        return {"pem": path.read_text(encoding="utf-8")}
    except OSError as error:
        return {"error": f"{path}: {error.strerror}"}
