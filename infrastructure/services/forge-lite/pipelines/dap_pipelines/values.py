"""What the platform rendered for the worker: limits and names, variables and what to mask."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/pipelines")
WORK = STATE / ".work"
SPOOL = Path("/spool")
REPOSITORIES = Path("/repositories")
RUN = Path("/run/pipelines")
BUILDS = Path("/builds")
# In STATE: hosts with what runs there, and what waits.
QUEUE = "queue.json"
ENGINE_SOCKET = "/var/run/docker.sock"
CONFIG = Path("/etc/forge/pipelines.json")
# Replaced while the worker runs, when hosts come, change or go.
ENGINES = Path("/etc/forge/hosts/engines.json")
SECRETS = Path("/run/secrets/variables.json")
# What this host shows to others, and the authority of all of them.
HOST_CERTIFICATE = "/run/secrets/engine-certificate"
HOST_KEY = "/run/secrets/engine-key"
HOSTS_CA = "/run/secrets/engines-ca"
GIT_GROUP = 11006
FIRST_UID = 20000
# A job gets so much of a host however small that is; with less, no container starts.
LEAST_CPUS = 0.1
LEAST_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class JobLimits:
    """What one container of a job may take: memory as in Compose (4g), CPUs, processes.

    `gpus`: 0, `all`, a number, or a list of indices or UUIDs.
    """

    memory: str
    cpus: float
    pids: int
    gpus: int | str | list[int | str] = 0


@dataclass(frozen=True)
class Size:
    """What a host has: CPUs, and memory in bytes."""

    cpus: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Host:
    """A host that runs jobs: at most `slots` at once, those whose tags are among its labels.

    `address` and `port`: where its engine is, as other hosts reach it; empty: this host's own.
    `kept_cpus` and `kept_memory`: what its jobs leave to others.
    """

    name: str
    labels: tuple[str, ...]
    slots: int
    gpus: int | str | list[int | str] = 0
    address: str = ""
    port: int = 0
    kept_cpus: float = 0
    kept_memory: str = "0k"

    def fits(self, tags: Iterable[str]) -> bool:
        """Return whether it has all tags; its name is one."""
        return set(tags) <= {self.name, *self.labels}


@dataclass(frozen=True)
class Values:
    """The rendered values; times in seconds, sizes in bytes.

    `gitops`: whether pipelines of the platform's repository show what a deploy would change.
    """

    platform: str
    network: str
    projects: tuple[str, ...]
    url: str
    clone: str
    registry: str
    follow_seconds: float
    engines: tuple[Host, ...]
    timeout_seconds: float
    keep: int
    log_bytes: int
    artifact_bytes: int
    default_image: str
    job: JobLimits
    gitops: bool = False

    def renewed(self) -> Values:
        """Return them with the hosts that there are now."""
        return replace(self, engines=read_engines(ENGINES))

    def limits(self, host: Host, size: Size) -> JobLimits:
        """Return what a container of a job may take on a host of this size.

        Of CPUs as many as there are slots, of memory a slot's share at most; what the host keeps
        is not theirs.
        """
        cpus = max(min(host.slots, size.cpus - host.kept_cpus), LEAST_CPUS)
        share = (size.memory - size_in_bytes(host.kept_memory)) // host.slots
        share = max(share, LEAST_BYTES)
        enough = size_in_bytes(self.job.memory) <= share
        memory = self.job.memory if enough else f"{share >> 20}m"
        return replace(self.job, cpus=cpus, memory=memory, gpus=host.gpus)


@dataclass(frozen=True)
class Project:
    """What a project's jobs get: variables, files, and the strings that no log may show."""

    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    mask: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What the platform gives to jobs.

    `environments`: local image by environment; `contents`: what each is made of, as
    environments/lock.yml says it; `base_images`: `base`, `builder`, and their `content`;
    `lock`: `key` and `known_hosts` of the account that commits that file.
    """

    projects: dict[str, Project]
    environments: dict[str, str]
    contents: dict[str, str]
    base_images: dict[str, str]
    lock: dict[str, str]


def read_engines(path: Path = ENGINES) -> tuple[Host, ...]:
    """Return the hosts that run jobs.

    Raises:
        OSError, ValueError, TypeError: the file is missing or not what the platform renders.
    """
    hosts: list[dict[str, Any]] = json.loads(path.read_text())
    return tuple(Host(**{**host, "labels": tuple(host["labels"])}) for host in hosts)


def read_values(path: Path = CONFIG, engines: Path = ENGINES) -> Values:
    """Return the rendered values.

    Raises:
        OSError, ValueError, TypeError: the file is missing or not what the platform renders.
    """
    data: dict[str, Any] = json.loads(path.read_text())
    del data["runs"]  # what git's server says where there is no worker
    return Values(
        **{
            **data,
            "projects": tuple(data["projects"]),
            "url": data["url"].rstrip("/"),
            "engines": read_engines(engines),
            "job": JobLimits(cpus=0, **data["job"]),
        }
    )


def read_secrets(path: Path = SECRETS) -> Given:
    """Return what projects' jobs get, and the images they run in."""
    data: dict[str, Any] = json.loads(path.read_text())
    projects = {
        name: Project(dict(entry["environment"]), dict(entry["files"]), tuple(entry["mask"]))
        for name, entry in data["projects"].items()
    }
    return Given(
        projects,
        dict(data["environments"]),
        dict(data["contents"]),
        dict(data["base_images"]),
        dict(data["lock"]),
    )


def size_in_bytes(text: str) -> int:
    """Return a size such as 512m or 4g in bytes."""
    return int(text[:-1]) << 10 * ("kmg".index(text[-1]) + 1)
