"""The running platform: what the plan says beside what Docker says."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from dap.engine.observe import Platform, docker
from dap.plan import Service
from dap.render import Renderer
from dap.render.client import Client, Identity
from dap.render.compose import MAY_STOP_LABEL
from dap.settings import Settings

from acceptance.commands import run

Container = dict[str, Any]
JOB = "dap.pipeline"
"""Label of what a pipeline makes."""


def inspect(identifiers: Sequence[str]) -> list[Container]:
    """Return what `docker inspect` says about containers that are still there: jobs come and go."""
    if not identifiers:
        return []
    command = ["docker", "container", "inspect", *identifiers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: list[Container] = json.loads(done.stdout)
    return found


@dataclass(frozen=True)
class Deployed(Platform):
    """A platform whose services run on this machine, as the acceptance tests see it."""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return self.prepared.plan.settings

    @property
    def services(self) -> list[Service]:
        """The services that are always up."""
        return [service for service in self.prepared.plan.services if not service.task]

    @cached_property
    def resting(self) -> set[str]:
        """Services that are stopped because that was wanted."""
        return {
            name
            for name, container in self.containers.items()
            if MAY_STOP_LABEL in container["Config"]["Labels"]
            and container["State"]["Status"] == "exited"
            and container["State"]["ExitCode"] == 0
        }

    @cached_property
    def compose(self) -> Mapping[str, Mapping[str, Any]]:
        """Service → what `compose.yml`, as rendered from the settings, says about it."""
        text = next(f.content for f in self.prepared.trees[0].files if f.path == "compose.yml")
        services: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)[
            "services"
        ]
        return services

    @cached_property
    def everything(self) -> list[Container]:
        """`docker inspect` of all containers that are the platform's or stand in its networks."""
        filters = [
            f"label=com.docker.compose.project={self.name}",
            f"label=dap.platform={self.name}",
            f"network={self.name}_internal",
            f"network={self.name}_edge",
        ]
        found = {
            identifier
            for one in filters
            for identifier in docker("ps", "--all", "--quiet", "--filter", one).split()
        }
        return inspect(sorted(found))

    @property
    def running(self) -> list[Container]:
        """Those of them that run."""
        return [each for each in self.everything if each["State"]["Running"]]

    @cached_property
    def entry(self) -> str:
        """Name of the service that receives all routes."""
        return next(
            service.name
            for folder in self.prepared.plan.folders.values()
            for service in folder.services
            if service.options.entry
        )

    def exceptions(self, service: str) -> Mapping[str, str]:
        """What `x-dap.exceptions` of a service says."""
        options = self.compose[service].get("x-dap", {})
        return dict(options.get("exceptions", {}))

    @property
    def address(self) -> str:
        """IP address at which this machine reaches the proxy."""
        address = ipaddress.ip_address(self.settings.address)
        if not address.is_unspecified:
            return str(address)
        return "127.0.0.1" if address.version == 4 else "::1"

    @property
    def edge_address(self) -> str:
        """IP address of the proxy in the network of workspaces and jobs."""
        networks = self.containers[self.entry]["NetworkSettings"]["Networks"]
        return str(networks[f"{self.name}_edge"]["IPAddress"])

    @cached_property
    def names(self) -> list[str]:
        """All host names of the platform."""
        plan = self.prepared.plan
        names = {self.settings.domain}
        names |= {route.hostname for route in plan.routes}
        names |= {stream.hostname for stream in plan.streams}
        return sorted(names)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.prepared.plan, self.prepared.vault)

    def identity(self, kind: Literal["user", "project"], name: str) -> Identity:
        """A user or a project, with its password."""
        return next(
            identity
            for identity in self._renderer.identities
            if (identity.kind, identity.name) == (kind, name)
        )

    def client(self, identity: Identity) -> Client:
        """What a workspace or a job is given to log in as an identity."""
        return self._renderer.client(identity)

    def execute(self, service: str, *command: str) -> str:
        """Run a command in the container of a service as its user; return what it prints.

        Raises:
            CheckError: it failed.
        """
        return run("docker", "exec", self.containers[service]["Id"], *command)

    def processes(self, container: Container) -> list[Path]:
        """Folders in /proc of the processes of a container that runs."""
        if not container["State"]["Running"]:
            return []
        try:
            listed = docker("top", container["Id"], "-eo", "pid").split()[1:]
        except subprocess.CalledProcessError:  # it has ended meanwhile, as jobs do
            return []
        return [Path("/proc", pid) for pid in listed]

    def mounted(self, service: str, target: str) -> Path:
        """Where on this host stands what a service's container has at `target`."""
        mounts = self.containers[service]["Mounts"]
        return Path(next(mount["Source"] for mount in mounts if mount["Destination"] == target))
