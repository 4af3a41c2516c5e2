"""The namespace and what holds for all that is in it: quota, limits, accounts, pull secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dap.cluster import amounts, security
from dap.cluster.model import Manifest, PodSpec
from dap.cluster.pods import sure_millicpus
from dap.cluster.source import Part, Source
from dap.cluster.volumes import size_of
from dap.settings import Problem, memory_bytes, refusal

_STANDARD = "pod-security.kubernetes.io"
_LEVELS: tuple[security.Level, ...] = ("restricted", "baseline", "privileged")
_PULL_SECRET = "registry.pull"  # noqa: S105  the name of an object, as no service can have


def namespace(source: Source, specs: Iterable[PodSpec]) -> Manifest:
    """Return the namespace, which takes no pod that is less confined than those of the platform.

    What is less than restricted, the catalogue says with its reason; the cluster warns of it.
    """
    level = max((security.level(spec) for spec in specs), key=_LEVELS.index, default=_LEVELS[0])
    labels = source.labels() | {
        f"{_STANDARD}/enforce": level,
        f"{_STANDARD}/warn": _LEVELS[0],
        f"{_STANDARD}/audit": _LEVELS[0],
    }
    name = source.settings.namespace
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@dataclass(frozen=True)
class Needs:
    """What all of a platform asks a cluster for: millicpus and bytes."""

    millicpus: int
    memory: int
    most_memory: int
    storage: int
    claims: int

    @classmethod
    def of(cls, source: Source) -> Needs:
        """Sum up; a rolling update has one pod more of each service without volumes."""
        counts = [(part, _at_once(source, part)) for part in source.parts]
        claims = source.compose.get("volumes", {})
        return cls(
            millicpus=sum(sure_millicpus(part) * count for part, count in counts),
            memory=sum(part.memory[0] * count for part, count in counts),
            most_memory=sum(part.memory[1] * count for part, count in counts),
            storage=sum(size_of(source, name) for name in claims),
            claims=len(claims),
        )


def _at_once(source: Source, part: Part) -> int:
    volumes = source.compose.get("volumes", {})
    mounted = [str(each).split(":")[0] for each in part.keys.get("volumes") or ()]
    rolls = not part.options.task and not any(name in volumes for name in mounted)
    return part.replicas + rolls


def resource_quota(source: Source) -> Manifest:
    """Return the quota: what the settings say, else what the platform needs.

    Raises:
        InputError: the settings give less than the platform needs.
    """
    needs = Needs.of(source)
    quota = source.cluster.quota
    problems: list[Problem] = []

    def most(key: str, given: int | None, needed: int, shown: str) -> int:
        if given is not None and given < needed:
            path = ("cluster", "quota", key)
            found = getattr(quota, key)
            what = "is less than the platform needs"
            problems.append(source.settings.problem(path, what, f"{shown} or more", found))
        return needed if given is None else given

    cpu = None if quota.cpus is None else amounts.millicpus(quota.cpus)
    memory = None if quota.memory is None else memory_bytes(quota.memory)
    storage = None if quota.storage is None else memory_bytes(quota.storage)
    mebibytes = -(-needs.memory // 2**20)
    gibibytes = -(-needs.storage // 2**30)
    hard = {
        "requests.cpu": amounts.cpus(
            most("cpus", cpu, needs.millicpus, f"{needs.millicpus / 1000:g}")
        ),
        "requests.memory": amounts.quantity(most("memory", memory, needs.memory, f"{mebibytes}m")),
        "requests.storage": amounts.quantity(
            most("storage", storage, needs.storage, f"{gibibytes}g")
        ),
    }
    if problems:
        raise refusal(problems)
    return source.manifest("ResourceQuota", source.settings.name, spec={"hard": hard})


def limit_range(source: Source) -> Manifest:
    """Return what a container gets that says nothing, as Compose's render gives it on a host."""
    limits = {"cpu": "20m", "memory": "512Mi"}
    item = {
        "type": "Container",
        "default": {"memory": limits["memory"]},
        "defaultRequest": limits,
    }
    return source.manifest("LimitRange", source.settings.name, spec={"limits": [item]})


def accounts(source: Source) -> list[Manifest]:
    """Return an account for each folder; none has a token for the cluster's API."""
    made = []
    for folder in dict.fromkeys(part.folder for part in source.parts):
        rest: dict[str, Any] = {"automountServiceAccountToken": False}
        if source.cluster.registry.user:
            rest["imagePullSecrets"] = [{"name": _PULL_SECRET}]
        made.append(source.manifest("ServiceAccount", folder, **rest))
    return made


def pull_secret(source: Source, password: str) -> Manifest | None:
    """Return what nodes log in to the platform's registry with, if it asks for it."""
    registry = source.cluster.registry
    if not registry.user:
        return None
    login = base64.b64encode(f"{registry.user}:{password}".encode()).decode()
    host = registry.address.split("/")[0]
    text = json.dumps({"auths": {host: {"auth": login}}})
    data = {".dockerconfigjson": base64.b64encode(text.encode()).decode()}
    kind = "kubernetes.io/dockerconfigjson"
    return source.manifest("Secret", _PULL_SECRET, type=kind, data=data)
