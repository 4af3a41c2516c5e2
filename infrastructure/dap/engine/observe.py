"""The running platform on this machine: what the plan says beside what Docker says."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dap.engine.prepare import Prepared


def docker(*arguments: str) -> str:
    """Return what a docker command prints; raises CalledProcessError if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@dataclass(frozen=True)
class Platform:
    """A deployed platform whose services run on this machine."""

    prepared: Prepared

    @property
    def name(self) -> str:
        """Name of the platform and of its Compose project."""
        return self.prepared.plan.settings.name

    @property
    def directory(self) -> Path:
        """Where the tree of the first host lies."""
        return Path(self.prepared.trees[0].directory)

    @cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """What `docker inspect` says, by compose service; one-shot runs are left out."""
        label = "label=com.docker.compose"
        filters = ["--filter", f"{label}.project={self.name}", "--filter", f"{label}.oneoff=False"]
        identifiers = docker("ps", "--all", "--quiet", *filters).split()
        found = json.loads(docker("inspect", *identifiers)) if identifiers else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    @property
    def hidden(self) -> dict[str, str]:
        """All secrets by name but certificates, which are public."""
        secrets = self.prepared.secrets
        return {
            name: value
            for name, value in secrets.items()
            if not name.startswith("tls/") or name.endswith("key")
        }
