"""All objects of a platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dap.cluster import entry, network, space, volumes, workloads
from dap.cluster.model import Manifest, PodSpec
from dap.cluster.pods import pod_template
from dap.cluster.source import Part, Source, read
from dap.errors import InputError
from dap.plan import Plan
from dap.render import Secrets, Tree


@dataclass(frozen=True)
class Objects:
    """The objects of a platform, in an order in which they can be applied.

    `tasks` are Jobs that each deploy runs anew, in this order. `nameserver` names the Service whose
    address is asked for names, or is empty. `checks` is the pod that acceptance tests run in, which
    is no part of the platform.
    """

    platform: tuple[Manifest, ...]
    tasks: tuple[Manifest, ...]
    nameserver: str
    checks: PodSpec | None = None


def objects(
    plan: Plan, tree: Tree, nameserver: str = "", secrets: Secrets | None = None
) -> Objects:
    """Return the objects that a rendered tree says. A pure function.

    Args:
        plan: of a platform whose target is kubernetes, or that has clusters.
        tree: of that, as `render` or `render_clusters` makes it of the plan.
        nameserver: IP address of the Service that `Objects.nameserver` names; without it, pods know
            each other but not the names that the entry answers to.
        secrets: the vault; without it, the password of the registry stands as a placeholder.

    Raises:
        InputError: a service has what a cluster can't do, or settings do not fit; names the key.
    """
    source = read(plan, tree, nameserver)
    made = _each(source.parts, lambda part: _part(source, part))
    pull = space.pull_secret(source, secrets.get if secrets else "(secret {})".format)
    platform = [
        space.namespace(source, (each.spec for each in made)),
        space.limit_range(source),
        space.resource_quota(source),
        *space.accounts(source),
        *space.roles(source),
        *([pull] if pull else []),
        *(held for each in made for held in each.files),
        *volumes.claims(source),
        *network.policies(source),
        *_all(network.service(source, part) for part in source.parts),
        *(each for part in source.parts for each in entry.beside(source, part)),
        *_all(workloads.disruption_budget(source, part) for part in source.parts),
        *(each.workload for each in made if not each.part.options.task),
    ]
    return Objects(
        platform=tuple(platform),
        tasks=tuple(each.workload for each in made if each.part.options.task),
        nameserver=source.naming.name if source.naming else "",
        checks=_part(source, source.checks).spec if source.checks else None,
    )


@dataclass(frozen=True)
class _Made:
    part: Part
    files: list[Manifest]
    workload: Manifest
    spec: PodSpec


def _part(source: Source, part: Part) -> _Made:
    mounts = volumes.mounts(source, part)
    template = pod_template(source, part, mounts)
    if part.options.task:
        made = workloads.job(source, part, template)
    else:
        made = workloads.workload(source, part, template, volumes=bool(mounts.claims))
    return _Made(part, mounts.objects, made, template["spec"])


def _each(parts: Iterable[Part], convert: Callable[[Part], _Made]) -> list[_Made]:
    """Return what `convert` makes of each part; what is wrong with all of them is told at once."""
    made, problems = [], []
    for part in parts:
        try:
            made.append(convert(part))
        except InputError as error:
            problems.append(error.message)
    if problems:
        raise InputError("\n".join(problems))
    return made


def _all(found: Iterable[Manifest | None]) -> Iterable[Manifest]:
    return (each for each in found if each is not None)
