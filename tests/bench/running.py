"""The platform that is measured, as this machine has it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unittest import mock

import docker
from docker.models.containers import Container

from demo.access import Access
from demo.flow import admin
from demo.project import Project

LABEL = "com.docker.compose"
# Marks what the benchmarks start beside the platform.
OWN = {"dap.bench": "true"}


def privileged(*command: str) -> str:
    """Run a command as root; what it printed."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*sudo, *command], check=True, capture_output=True, text=True).stdout


@dataclass
class Running:
    """The running platform.

    Attributes:
        project: the project that it was deployed from.
    """

    project: Project

    @property
    def tree(self) -> str:
        """The platform's folder on this host."""
        return f"/srv/dap/{self.project.name}"

    @cached_property
    def engine(self) -> docker.DockerClient:
        """The Docker engine."""
        return docker.from_env()

    @cached_property
    def access(self) -> Access:
        """Requests as the first user."""
        return admin(self.project)

    @property
    def plan(self) -> dict[str, Any]:
        """`plan.json` of this host."""
        plan: dict[str, Any] = json.loads(privileged("cat", f"{self.tree}/plan.json"))
        return plan

    @property
    def images(self) -> dict[str, str]:
        """Reference of each image that the platform is made of, by name."""
        return {image["name"]: image["reference"] for image in self.plan["images"]}

    def image(self, name: str) -> str:
        """Reference of an image that is on this host."""
        return self.images[name]

    def containers(self) -> dict[str, Container]:
        """Running containers of the platform by service."""
        label = f"{LABEL}.project={self.project.name}"
        found = self.engine.containers.list(filters={"label": label})
        return {container.labels[f"{LABEL}.service"]: container for container in found}

    def started(self) -> dict[str, str]:
        """When each container was started, by service."""
        return {name: c.attrs["State"]["StartedAt"] for name, c in self.containers().items()}

    def address(self, service: str, network: str) -> str:
        """IP address of a service's container on one of the platform's networks."""
        networks = self.containers()[service].attrs["NetworkSettings"]["Networks"]
        return str(networks[f"{self.project.name}_{network}"]["IPAddress"])

    @property
    def entry(self) -> str:
        """Name of the service that all routes and streams come in by."""
        [name] = [n for n, c in self.containers().items() if c.attrs["HostConfig"]["PortBindings"]]
        return name


@contextlib.contextmanager
def container(engine: docker.DockerClient, image: str, **options: Any) -> Iterator[Container]:
    """Make a container that is not started; it is gone at the end.

    Args:
        engine: the Docker engine.
        image: what it is made from.
        options: as `docker.containers.create` takes them.
    """
    made = engine.containers.create(image, labels=OWN, **options)
    try:
        yield made
    finally:
        made.remove(force=True, v=True)


def archive(files: dict[str, bytes], uid: int) -> bytes:
    """Pack files that only one user reads, as Docker takes them into a container.

    Args:
        files: name → content.
        uid: the user.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode, about.uid, about.gid = len(content), 0o600, uid, uid
            tar.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def bridge_address(made: Container) -> str:
    """IP address of a running container on Docker's own bridge."""
    made.reload()
    return str(made.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


@contextlib.contextmanager
def resolving(names: dict[str, str]) -> Iterator[None]:
    """Let names lead to addresses in this process, as lines in /etc/hosts would.

    Args:
        names: name → IP address.
    """
    resolve = socket.getaddrinfo

    def override(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve(names.get(host, host), *arguments, **options)

    with mock.patch.object(socket, "getaddrinfo", override):
        yield
