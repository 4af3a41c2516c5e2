"""Looks at the processes of containers as the host sees them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from dap.onhost import docker


def main(arguments: dict[str, Any]) -> None:
    """Print the processes by container; `arguments`: containers (ids)."""
    print(json.dumps({each: processes(each) for each in arguments["containers"]}))


def processes(container: str) -> list[dict[str, Any]]:
    """Return those of a container that run: pid, name of the program, its users, all it was told.

    `command` and `environment` are in base64.
    """
    try:
        listed = docker.get(f"/containers/{container}/top", ps_args="-eo pid")["Processes"]
    except docker.EngineError:  # it has ended meanwhile, as jobs do
        return []
    found = (process(Path("/proc", pid)) for (pid,) in listed)
    return [each for each in found if each is not None]


def process(place: Path) -> dict[str, Any] | None:
    """Return one of them, None if it has ended; users: real, effective, saved, filesystem."""
    try:
        status = (place / "status").read_text(errors="replace").splitlines()
        told = {name: (place / name).read_bytes() for name in ("cmdline", "environ")}
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":", 1) for line in status)
    return {
        "pid": int(place.name),
        "name": fields["Name"].strip(),
        "users": [int(user) for user in fields["Uid"].split()],
        "command": base64.b64encode(told["cmdline"]).decode(),
        "environment": base64.b64encode(told["environ"]).decode(),
    }
