"""Makes the plan from settings and catalogue."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace

from dap.catalogue import Catalogue, ComposeReader, ComposeService, HostedFolder
from dap.plan.checks import check_plan, check_settings
from dap.plan.context import base_context, folder_options
from dap.plan.images import Image, Images
from dap.plan.model import (
    ClusterPlace,
    HostPlan,
    HostView,
    Plan,
    Route,
    Service,
    Stream,
    hostname,
    url,
)
from dap.plan.order import in_order
from dap.settings import Cluster, ComputeCluster, Reserve, Settings, Workspace
from dap.settings.cluster import OWN, OWN_JOBS
from dap.settings.problem import Path

_ENVIRONMENTS = re.compile(rb"\{[{%][^}]*(?<![.\w'\"])environments?\b")


def make_plan(settings: Settings, catalogue: Catalogue) -> Plan:
    """Return who runs what where. A pure function: reads no file and no clock.

    Raises:
        InputError: settings and catalogue do not fit, or a folder breaks a convention.
    """
    check_settings(settings, catalogue)
    images = Images(settings, catalogue)
    reader = ComposeReader()
    views, clusters = _hosts(settings), _clusters(settings)
    hosts, others = (
        [_host_plan(settings, catalogue, images, reader, host, views, clusters) for host in listed]
        for listed in (views, clusters)
    )
    plan = Plan(settings, catalogue, images, _with_builds(hosts), tuple(others))
    check_plan(plan)
    return plan


def _hosts(settings: Settings) -> tuple[HostView, ...]:
    if settings.cluster is not None:
        return (_cluster(settings, settings.cluster),)
    placed: dict[str, list[Workspace]] = {host.name: [] for host in settings.hosts}
    runners = [host.name for host in settings.hosts if "runner" in host.roles]
    for workspace in settings.workspaces if runners else ():
        placed[workspace.host or runners[0]].append(workspace)
    return tuple(
        HostView(
            name=host.name,
            address=host.address,
            user=host.user,
            port=host.port,
            key=host.key,
            jump=host.jump,
            listen=settings.listen(host),
            roles=tuple(host.roles),
            labels=tuple(host.labels),
            slots=host.slots,
            directory=settings.directory(host),
            gpus=host.gpus,
            reserve=host.reserve,
            workspaces=tuple(placed[host.name]),
        )
        for host in settings.hosts
    )


def _cluster(settings: Settings, cluster: Cluster) -> HostView:
    """Return a cluster as the one host that it is to services: it has all roles."""
    return HostView(
        name=OWN,
        address=settings.address,
        user=None,
        port=None,
        key="",
        jump=None,
        listen=settings.address,
        roles=("service", "runner"),
        labels=(),
        slots=0,  # jobs run apart, where none of the platform's secrets are
        directory=f"/srv/dap/{settings.name}",
        gpus=0,
        reserve=Reserve(),
        workspaces=tuple(settings.workspaces),
        place=ClusterPlace(cluster, settings.namespace, ("cluster",)),
    )


def _clusters(settings: Settings) -> tuple[HostView, ...]:
    """Return the clusters that run jobs alone, and the part of the platform's own that does."""
    found = [
        _for_jobs(settings, each, ("clusters", index))
        for index, each in enumerate(settings.clusters)
    ]
    own = settings.cluster
    if own is None or not own.slots:
        return tuple(found)
    try:
        reached = not ipaddress.ip_address(settings.address).is_loopback
    except ValueError:
        reached = False
    jobs = ComputeCluster(
        name=OWN_JOBS,
        context=own.context,
        namespace=f"{settings.namespace}-jobs",
        slots=own.slots,
        job=own.job,
        platform_address=settings.address if reached else None,
    )
    return (_for_jobs(settings, jobs, ("cluster",)), *found)


def _for_jobs(settings: Settings, cluster: ComputeCluster, where: Path) -> HostView:
    namespace = cluster.namespace or f"{settings.name}-{cluster.name}"
    own = Cluster(context=cluster.context, namespace=namespace, quota=cluster.quota)
    return HostView(
        name=cluster.name,
        address=cluster.context,
        user=None,
        port=None,
        key="",
        jump=None,
        listen="",
        roles=("compute",),
        labels=tuple(cluster.labels),
        slots=cluster.slots,
        directory=f"/srv/dap/{settings.name}",
        gpus=cluster.gpus,
        reserve=Reserve(),
        workspaces=(),
        place=ClusterPlace(own, namespace, where),
        jobs=cluster,
    )


def _with_builds(hosts: Iterable[HostPlan]) -> tuple[HostPlan, ...]:
    """Give the service host, which builds all images, those that only other hosts need."""
    found = tuple(hosts)
    all_images = {image.reference: image for host in found for image in host.images}
    return tuple(
        replace(host, images=tuple(all_images.values())) if host.host.service else host
        for host in found
    )


def _host_plan(
    settings: Settings,
    catalogue: Catalogue,
    images: Images,
    reader: ComposeReader,
    host: HostView,
    hosts: tuple[HostView, ...],
    clusters: tuple[HostView, ...],
) -> HostPlan:
    context = base_context(settings, host, hosts, clusters, catalogue, images)
    hosted = (
        reader.read(folder, {**context, "options": folder_options(settings, folder)})
        for folder in catalogue.services.values()
    )
    folders = in_order(
        folder for folder in hosted if folder and set(folder.options.roles) & set(host.roles)
    )
    pairs = [(folder, service) for folder in folders for service in folder.services]
    built: dict[str, Image] = {}
    for folder, service in pairs:
        image = images.of_service(folder, service)
        if image is not None:
            built[service.name] = image
    needed = [*([images.base, images.builder] if host.service else []), *built.values()]
    if host.runs_jobs or any(_uses_environments(folder) for folder in folders):
        needed += images.environments.values()
    return HostPlan(
        host=host,
        folders=folders,
        routes=tuple(
            route for folder, service in pairs for route in _routes(settings, host, folder, service)
        ),
        streams=tuple(
            stream
            for folder, service in pairs
            for stream in _streams(settings, host, folder, service)
        ),
        services=tuple(
            Service(
                name=service.name,
                host=host.name,
                folder=folder.name,
                image=images.service_reference(service, built),
                task=service.options.task or service.options.checks,
                metrics=service.options.metrics,
                backup=tuple(
                    f"{settings.name}_{folder.name}-{volume}" for volume in service.options.backup
                ),
                ssh=service.options.ssh,
                may_stop=service.options.may_stop,
            )
            for folder, service in pairs
        ),
        images=tuple(image for image in needed if not images.overridden(image)),
    )


def _uses_environments(folder: HostedFolder) -> bool:
    """Whether a template of the folder names the images of environments, as the forge's do."""
    parts = folder.folder
    sources = (parts.compose, *parts.config, *parts.secrets)
    return any(
        _ENVIRONMENTS.search(file.content)
        for file in sources
        if file is parts.compose or file.path.endswith(".j2")
    )


def _routes(
    settings: Settings, host: HostView, folder: HostedFolder, service: ComposeService
) -> Iterable[Route]:
    for route in service.options.routes:
        yield Route(
            name=route.name,
            hostname=hostname(settings.domain, route.name),
            url=url(settings, route.name),
            host=host.name,
            folder=folder.name,
            service=service.name,
            port=route.port,
            auth=route.auth,
            refuses=route.refuses,
            health=route.health,
            portal=route.portal,
            registry=route.registry,
        )


def _streams(
    settings: Settings, host: HostView, folder: HostedFolder, service: ComposeService
) -> Iterable[Stream]:
    for stream in service.options.streams:
        yield Stream(
            name=stream.name,
            hostname=hostname(settings.domain, stream.name),
            host=host.name,
            folder=folder.name,
            service=service.name,
            listen=stream.listen,
            port=stream.port,
            ssh=stream.ssh,
            private=stream.private,
        )
