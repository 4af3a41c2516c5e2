"""The rendered tree of a platform, read as what objects are made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import yaml

from dap.catalogue.model import ServiceOptions
from dap.cluster import amounts, keys
from dap.cluster.model import Labels, Manifest, ObjectMeta
from dap.errors import InputError
from dap.plan import ClusterPlace, Plan
from dap.render import File, Tree
from dap.settings import Cluster, Settings

SERVICE_LABEL = "app.kubernetes.io/name"
PLATFORM_LABEL = "app.kubernetes.io/part-of"
_Read = TypeVar("_Read")
_USER = re.compile(r"([0-9]+):([0-9]+)")
_VARIABLE = re.compile(r"\$[A-Za-z_{]")
# A Service's name begins with a letter; a StatefulSet's is a label of its pods, with a hash.
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_LONGEST_NAME = 52


@dataclass(frozen=True)
class Part:
    """A compose service as it stands in the tree: its keys, and where its folder writes it."""

    name: str
    folder: str
    where: str
    keys: Mapping[str, Any]
    options: ServiceOptions

    def refusal(self, key: str, why: str) -> InputError:
        """Return the error that names the key."""
        return InputError(f"{self.where}.{key}: {why}")

    def amount(self, key: str, reader: Callable[[object], _Read]) -> _Read | None:
        """Return what `reader` makes of a key's value; nothing where there is none.

        Raises:
            InputError: it can't be read; names the key.
        """
        return self.read(key, reader, self.keys.get(key))

    def read(self, key: str, reader: Callable[[object], _Read], value: object) -> _Read | None:
        """Return what `reader` makes of a value below a key; nothing where there is none.

        Raises:
            InputError: it can't be read; names the key.
        """
        if value is None:
            return None
        try:
            return reader(value)
        except ValueError as error:
            raise self.refusal(key, f"'{value}' {error}") from error

    def plain(self, key: str, text: str) -> str:
        """Return text as Compose passes it on: `$$` is a dollar sign.

        Raises:
            InputError: it has a variable, which Compose would take from its own environment.
        """
        if _VARIABLE.search(text.replace("$$", "")):
            raise self.refusal(
                key, f"'{text}': has a variable of Compose; write $$ for a dollar sign"
            )
        return text.replace("$$", "$")

    @cached_property
    def ids(self) -> tuple[int, int]:
        """User and group that it runs as."""
        match = _USER.fullmatch(str(self.keys.get("user", "")))
        if match is None:
            raise self.refusal("user", 'a cluster needs "UID:GID" in numbers')
        return int(match[1]), int(match[2])

    @cached_property
    def replicas(self) -> int:
        """How many of it run."""
        return int(self.keys.get("deploy", {}).get("replicas", 1))

    @cached_property
    def memory(self) -> tuple[int, int]:
        """Bytes that it is sure to get, and at most."""
        most = self.amount("mem_limit", amounts.size_bytes) or 0
        return self.amount("mem_reservation", amounts.size_bytes) or most, most

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that it is on."""
        return tuple(self.keys.get("networks") or ())

    @cached_property
    def ports(self) -> tuple[tuple[int, str], ...]:
        """Ports that others reach it at, with their protocol: what the folder says it has.

        Raises:
            InputError: `expose` is wrong.
        """
        options = self.options
        published = self.keys.get("ports") or ()
        found: dict[tuple[int, str], None] = {(int(p["published"]), "TCP"): None for p in published}
        for each in (*options.routes, *options.streams, options.ssh, options.metrics):
            if each is not None:
                found[each.port, "TCP"] = None
        for value in self.keys.get("expose") or ():
            port, _, protocol = str(value).partition("/")
            if not port.isdigit() or protocol not in ("", "tcp", "udp"):
                raise self.refusal("expose", f"'{value}': must be PORT or PORT/udp")
            found[int(port), (protocol or "tcp").upper()] = None
        return tuple(found)


@dataclass(frozen=True)
class Source:
    """A platform in a cluster, or what of it is in one: its settings, and its tree by paths.

    `host` is what the plan calls it, `place` says where its objects are.
    """

    plan: Plan
    host: str
    place: ClusterPlace
    apart: bool
    """Whether it is there for jobs alone, so that none of the platform's own secrets are."""
    files: Mapping[str, File]
    compose: Mapping[str, Any]
    parts: tuple[Part, ...]
    checks: Part | None
    """What acceptance tests run in; no part of the platform."""
    nameserver: str
    """IP address of the platform's server of names, empty where it is not known yet."""

    @property
    def settings(self) -> Settings:
        """The platform's settings."""
        return self.plan.settings

    @property
    def cluster(self) -> Cluster:
        """The settings of the cluster."""
        return self.place.cluster

    @property
    def namespace(self) -> str:
        """The namespace of all objects."""
        return self.place.namespace

    @cached_property
    def by_name(self) -> Mapping[str, Part]:
        """The parts by their names."""
        return {part.name: part for part in self.parts}

    @cached_property
    def naming(self) -> Part | None:
        """The part that serves names, if there is one."""
        return next((part for part in self.parts if part.options.nameserver), None)

    @cached_property
    def shared(self) -> frozenset[str]:
        """Volumes that several parts mount, so that their pods must be on one node."""
        users: dict[str, set[str]] = {}
        for part in self.parts:
            for mount in part.keys.get("volumes") or ():
                source = mount.split(":")[0] if isinstance(mount, str) else mount.get("source")
                if source in self.compose.get("volumes", {}):
                    users.setdefault(str(source), set()).add(part.name)
        return frozenset(volume for volume, names in users.items() if len(names) > 1)

    def labels(self, part: Part | None = None) -> Labels:
        """Return the labels of an object, one of a part's or of the platform's."""
        own = {} if part is None else {SERVICE_LABEL: part.name}
        folder = {} if part is None else {"app.kubernetes.io/component": part.folder}
        return {
            **own,
            **folder,
            PLATFORM_LABEL: self.settings.name,
            "app.kubernetes.io/managed-by": "dap",
        }

    @property
    def platform_labels(self) -> Labels:
        """The label that all pods of the platform have."""
        return {PLATFORM_LABEL: self.settings.name}

    def selector(self, part: Part) -> Labels:
        """Return the labels that tell a part's pods."""
        return {SERVICE_LABEL: part.name, PLATFORM_LABEL: self.settings.name}

    def meta(self, name: str, part: Part | None = None) -> ObjectMeta:
        """Return the metadata of an object in the platform's namespace."""
        return {"name": name, "namespace": self.namespace, "labels": self.labels(part)}

    def manifest(self, kind: str, name: str, part: Part | None = None, **rest: Any) -> Manifest:
        """Return an object in the platform's namespace; `rest` are its further keys."""
        made: Any = {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": self.meta(name, part)}
        return made | rest  # type: ignore[no-any-return]

    def image(self, reference: str) -> str:
        """Return where nodes find an image; those that the platform builds are in its registry."""
        return self.cluster.registry.reference(reference)


_VERSIONS = {
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "Ingress": "networking.k8s.io/v1",
    "Job": "batch/v1",
    "LimitRange": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "PodDisruptionBudget": "policy/v1",
    "ResourceQuota": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "StatefulSet": "apps/v1",
}


def read(plan: Plan, tree: Tree, nameserver: str = "") -> Source:
    """Read a platform's tree.

    Raises:
        InputError: the platform's target is no cluster, or the tree has what a cluster can't do;
            names each key.
    """
    host = plan.hosted(tree.host)
    place = host.host.place
    if place is None:
        raise InputError("the platform's target is docker", "say target: kubernetes")
    files = {file.path: file for file in tree.files}
    compose = yaml.load(files["compose.yml"].content, Loader=yaml.CSafeLoader)
    parts = tuple(
        Part(
            service.name,
            folder.name,
            service.where,
            compose["services"][service.name],
            service.options,
        )
        for folder in host.folders
        for service in folder.services
    )
    apart = host.host.jobs is not None
    problems = [problem for part in parts for problem in _problems(part, apart=apart)]
    for name, volume in compose.get("volumes", {}).items():
        problems += [f"volumes.{name}.{each}" for each in keys.unknown(volume, keys.VOLUME)]
    if problems:
        raise InputError("\n".join(problems))
    checks = next((part for part in parts if part.options.checks), None)
    staying = tuple(part for part in parts if part is not checks)
    return Source(plan, tree.host, place, apart, files, compose, staying, checks, nameserver)


def _problems(part: Part, *, apart: bool) -> list[str]:
    found = list(keys.unknown(part.keys, keys.SERVICE))
    health = part.keys.get("healthcheck") or {}
    found += [f"healthcheck.{each}" for each in keys.unknown(health, keys.HEALTHCHECK)]
    if not _NAME.fullmatch(part.name) or len(part.name) > _LONGEST_NAME:
        found.append(
            f"can't be called so on Kubernetes: a name begins with a letter and has at most "
            f"{_LONGEST_NAME} characters"
        )
    if part.options.may_stop:
        found.append("x-dap.may_stop: can't be done on Kubernetes: it starts anew what has stopped")
    if part.options.nameserver and (53, "UDP") not in part.ports:
        found.append("x-dap.nameserver: needs expose: [53, 53/udp]")
    if part.options.kubernetes.rules and not apart:
        # Who may start pods beside the platform's may read all that these mount.
        found.append(
            "x-dap.kubernetes.rules: can't be given where the platform's secrets are: "
            "only with roles: [compute]"
        )
    return [f"{part.where}.{each}" for each in found]
