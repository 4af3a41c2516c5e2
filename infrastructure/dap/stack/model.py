"""What each component of the program is given, and how a platform's objects are shared out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dap.cluster import Manifest, Objects
from dap.cluster.source import SERVICE_LABEL

Object = dict[str, Any]


class Args(BaseModel):
    """Arguments of a component: objects of the kinds that are its matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SpaceArgs(Args):
    """The namespace, and what holds for all that is in it."""

    namespace: Object
    rules: tuple[Object, ...] = ()
    """Quota, limits, accounts, network policies, and the secret that images are pulled with."""


class VolumesArgs(Args):
    """What holds data."""

    claims: tuple[Object, ...] = ()


class ApplicationArgs(Args):
    """A service: what it reads, the names it goes by, and what runs it."""

    name: str = Field(min_length=1)
    files: tuple[Object, ...] = ()
    services: tuple[Object, ...] = ()
    workload: Object
    budgets: tuple[Object, ...] = ()


class PlatformArgs(Args):
    """A whole platform; `nameserver` is the application that pods ask for names, if any."""

    space: SpaceArgs
    volumes: VolumesArgs
    applications: tuple[ApplicationArgs, ...]
    nameserver: str = ""


WORKLOADS = ("Deployment", "StatefulSet")
"""Kinds of what runs a service."""
# Nothing is taken away that holds data, or that the platform did not make by its objects.
SWEPT = (
    *(("v1", kind) for kind in ("ConfigMap", "Secret", "Service", "ServiceAccount")),
    *(("apps/v1", kind) for kind in WORKLOADS),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("Role", "RoleBinding")),
)
"""Kinds of which nothing may be there with the platform's label that is not planned."""


def shared_out(objects: Objects, held: Iterable[Object] = ()) -> PlatformArgs:
    """Return a platform's objects, each as the matter of one component.

    Args:
        objects: of the platform.
        held: claims that are there already. Those that nothing mounts any more stay, until the
            platform is destroyed with its data.
    """
    space: list[Object] = []
    claims: list[Object] = []
    applications: dict[str, list[Object]] = {}
    for manifest in objects.platform:
        name = manifest["metadata"]["labels"].get(SERVICE_LABEL)
        if manifest["kind"] == "PersistentVolumeClaim":
            claims.append(_plain(manifest))
        elif name is None:
            space.append(_plain(manifest))
        else:
            applications.setdefault(name, []).append(_plain(manifest))
    wanted = {each["metadata"]["name"] for each in claims}
    claims += [_bare(each) for each in held if each["metadata"]["name"] not in wanted]
    (namespace,) = (each for each in space if each["kind"] == "Namespace")
    # What one-shot services read is there before their Jobs, which are no part of the stack.
    return PlatformArgs(
        space=SpaceArgs(
            namespace=namespace,
            rules=(
                *(each for each in space if each["kind"] != "Namespace"),
                *(each for own in applications.values() if _without(own) for each in own),
            ),
        ),
        volumes=VolumesArgs(claims=tuple(claims)),
        applications=tuple(
            _application(name, own) for name, own in applications.items() if not _without(own)
        ),
        nameserver=objects.nameserver,
    )


def _application(name: str, own: list[Object]) -> ApplicationArgs:
    (workload,) = _of(own, *WORKLOADS)
    return ApplicationArgs(
        name=name,
        files=_of(own, "Secret", "ConfigMap"),
        services=_of(own, "Service", "Ingress"),
        workload=workload,
        budgets=_of(own, "PodDisruptionBudget"),
    )


def _of(own: Iterable[Object], *kinds: str) -> tuple[Object, ...]:
    return tuple(each for each in own if each["kind"] in kinds)


def _without(own: Iterable[Object]) -> bool:
    """Whether nothing runs these: they are a task's."""
    return not _of(own, *WORKLOADS)


def _plain(manifest: Manifest) -> Object:
    return dict(manifest)


def _bare(claim: Object) -> Object:
    """Return a claim of the state as it was first given: without what the program adds."""
    metadata = dict(claim["metadata"])
    notes = metadata.pop("annotations", {})
    own = {key: text for key, text in notes.items() if not key.startswith("pulumi.com/")}
    return {**claim, "metadata": {**metadata, **({"annotations": own} if own else {})}}
