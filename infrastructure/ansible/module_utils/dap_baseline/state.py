"""What the baseline remembers on a host: whose it is, and what was there before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import write_atomically

HOME = Path("/var/lib/dap")
FILE = HOME / "baseline.json"


@dataclass
class State:
    """What is kept beyond a deploy.

    Attributes:
        platform: name of the platform that keeps the baseline; empty: none does.
        on: switches that were on at the end of the last deploy.
        pending: parts whose changes were begun and not finished.
        packages: package that was installed → switch that it was installed for.
        units: unit that was enabled → switch that it was enabled for.
        modes: file → permissions that it had.
        kernel: parameter → value that it had.
        docker: key of daemon.json → value that was put there.
        firewall: the loaded rules as nft lists them.
    """

    platform: str = ""
    on: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    kernel: dict[str, str] = field(default_factory=dict)
    docker: dict[str, Any] = field(default_factory=dict)
    firewall: str = ""

    def save(self) -> None:
        """Keep it; what remembers nothing leaves no file."""
        if self == State(self.platform):
            FILE.unlink(missing_ok=True)
            if HOME.is_dir() and not any(HOME.iterdir()):
                HOME.rmdir()
        else:
            text = json.dumps(asdict(self), indent=2, sort_keys=True)
            write_atomically(FILE, f"{text}\n".encode(), 0o600)


def load() -> State:
    """Return what is remembered; empty where nothing is."""
    try:
        told: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return State()
    return State(**told)
