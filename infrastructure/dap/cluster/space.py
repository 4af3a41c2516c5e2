"""The namespace and what holds for all that is in it: quota, limits, accounts, pull secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dap.cluster import amounts, security
from dap.cluster.model import Manifest, PodSpec
from dap.cluster.pods import sure_millicpus
from dap.cluster.source import Part, Source
from dap.cluster.volumes import size_of
from dap.plan import REGISTRY_PASSWORD
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
    name = source.namespace
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@dataclass(frozen=True)
class Needs:
    """What all of a platform asks a cluster for: millicpus, bytes and GPUs."""

    millicpus: int
    memory: int
    most_memory: int
    storage: int
    claims: int
    gpus: int

    @classmethod
    def of(cls, source: Source) -> Needs:
        """Sum up; a rolling update has one pod more of each service without volumes."""
        counts = [(part, _at_once(source, part)) for part in source.parts]
        claims = source.compose.get("volumes", {})
        started = [each for part in source.parts if (each := part.options.kubernetes.starts)]
        sure, most = (
            [*(part.memory[index] * count for part, count in counts)]
            + [memory_bytes(each.memory) * each.count for each in started]
            for index in (0, 1)
        )
        return cls(
            millicpus=sum(sure_millicpus(part) * count for part, count in counts)
            + sum(amounts.millicpus(each.cpus) * each.count for each in started),
            memory=sum(sure),
            most_memory=sum(most),
            storage=sum(size_of(source, name) for name in claims),
            claims=len(claims),
            gpus=sum(each.gpus * each.count for each in started),
        )


def _at_once(source: Source, part: Part) -> int:
    volumes = source.compose.get("volumes", {})
    mounted = [str(each).split(":")[0] for each in part.keys.get("volumes") or ()]
    rolls = not part.options.task and not any(name in volumes for name in mounted)
    return part.replicas + rolls


def resource_quota(source: Source) -> Manifest:
    """Return the quota: what the settings say, else what the platform needs.

    Storage is limited where the settings say how much, and where jobs run.

    Raises:
        InputError: the settings give less than the platform needs.
    """
    needs = Needs.of(source)
    quota = source.cluster.quota
    problems: list[Problem] = []

    def most(key: str, given: int | None, needed: int, shown: str) -> int:
        if given is not None and given < needed:
            path = (*source.place.where, "quota", key)
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
    }
    most_storage = most("storage", storage, needs.storage, f"{gibibytes}g")
    if storage is not None or source.apart:
        # Else it would keep out the next volume: those stay that nothing mounts any more, and a
        # preview asks the server for new ones while the quota is yet the old one.
        hard["requests.storage"] = amounts.quantity(most_storage)
    if source.apart:
        # So that whoever may start pods there starts no others with GPUs.
        hard["requests.nvidia.com/gpu"] = str(needs.gpus)
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
    """Return an account for each folder; none has a token but where its pod asks for one."""
    made = []
    for folder in dict.fromkeys(part.folder for part in source.parts):
        rest: dict[str, Any] = {"automountServiceAccountToken": False}
        if _logins(source):
            rest["imagePullSecrets"] = [{"name": _PULL_SECRET}]
        made.append(source.manifest("ServiceAccount", folder, **rest))
    return made


def roles(source: Source) -> list[Manifest]:
    """Return what accounts of folders may do in the namespace, and that they may."""
    rules: dict[str, list[dict[str, list[str]]]] = {}
    for part in source.parts:
        for rule in part.options.kubernetes.rules:
            rules.setdefault(part.folder, []).append(
                {
                    "apiGroups": list(rule.groups),
                    "resources": list(rule.resources),
                    "verbs": list(rule.verbs),
                }
            )
    made = []
    for folder, listed in rules.items():
        made.append(source.manifest("Role", folder, rules=listed))
        of = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": folder}
        account = {"kind": "ServiceAccount", "name": folder, "namespace": source.namespace}
        made.append(source.manifest("RoleBinding", folder, roleRef=of, subjects=[account]))
    return made


def pull_secret(source: Source, secret: Callable[[str], str]) -> Manifest | None:
    """Return what nodes log in to the platform's registry with, if it asks for it.

    Args:
        source: of the objects.
        secret: returns a secret by its name.
    """
    found = _logins(source)
    if not found:
        return None
    logins = {
        host: {"auth": base64.b64encode(f"{user}:{secret(name)}".encode()).decode()}
        for host, (user, name) in found.items()
    }
    text = json.dumps({"auths": logins})
    data = {".dockerconfigjson": base64.b64encode(text.encode()).decode()}
    kind = "kubernetes.io/dockerconfigjson"
    return source.manifest("Secret", _PULL_SECRET, type=kind, data=data)


def _logins(source: Source) -> dict[str, tuple[str, str]]:
    """Return the registries that nodes log in to: host, then account and secret of its password.

    They are those of the platform's own cluster; beside hosts, the platform's own registry, where
    each cluster has an account that may only pull.
    """
    own = source.settings.cluster
    if own is None:
        return {
            urlsplit(route.url).netloc: route.registry.pull.of(source.host)
            for route in source.plan.routes
            if route.registry
        }
    if not own.registry.user:
        return {}
    return {own.registry.address.split("/")[0]: (own.registry.user, REGISTRY_PASSWORD)}
