"""The plan: who runs what where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dap.catalogue import Catalogue, HostedFolder
from dap.catalogue.model import Metrics, PortalEntry, RegistryLogin, SshEntry, SshServer
from dap.errors import InputError
from dap.plan.images import Image, Images
from dap.settings import (
    EVERYWHERE,
    Cluster,
    ComputeCluster,
    Gpus,
    Reserve,
    Settings,
    Workspace,
)
from dap.settings.problem import Path


@dataclass(frozen=True)
class Place:
    """A machine: how it is reached, and in which folder the platform lies on it."""

    name: str
    address: str
    user: str | None
    port: int | None
    key: str
    jump: str | None
    directory: str


@dataclass(frozen=True)
class ClusterPlace:
    """Where in which cluster objects are; `where` leads to the settings that describe it."""

    cluster: Cluster
    namespace: str
    where: Path


@dataclass(frozen=True)
class HostView(Place):
    """A host as templates see it; `workspaces` are those placed on it.

    `listen` is the IP address that other hosts reach it at. A cluster is one, too: `place` says
    where its objects are, `jobs` how jobs of pipelines run there if it is there for these alone.
    """

    listen: str
    roles: tuple[str, ...]
    labels: tuple[str, ...]
    slots: int
    gpus: Gpus
    reserve: Reserve
    workspaces: tuple[Workspace, ...]
    place: ClusterPlace | None = None
    jobs: ComputeCluster | None = None

    def at(self, port: int) -> str:
        """Return where other hosts reach a port of it: address and port."""
        return f"[{self.listen}]:{port}" if ":" in self.listen else f"{self.listen}:{port}"

    def workspace(self, name: str) -> Workspace:
        """Return the workspace of that name.

        Raises:
            KeyError: none is placed on it.
        """
        return self._workspaces[name]

    @cached_property
    def _workspaces(self) -> Mapping[str, Workspace]:
        return {each.name: each for each in self.workspaces}

    @property
    def service(self) -> bool:
        """Whether it is the service host."""
        return "service" in self.roles

    @property
    def runs_jobs(self) -> bool:
        """Whether jobs of pipelines run on it."""
        return bool({"runner", "compute"} & set(self.roles)) and self.slots > 0


@dataclass(frozen=True)
class Route:
    """A name behind the proxy of `host` and the compose service that answers it."""

    name: str
    hostname: str
    url: str
    host: str
    folder: str
    service: str
    port: int
    auth: str
    refuses: str
    health: str | None
    portal: PortalEntry | None
    registry: RegistryLogin | None


@dataclass(frozen=True)
class Stream:
    """A TCP port of the proxy of `host` and the compose service that answers it."""

    name: str
    hostname: str
    host: str
    folder: str
    service: str
    listen: int
    port: int
    ssh: SshServer | None = None
    private: bool = False


@dataclass(frozen=True)
class Service:
    """A compose service on a host; `backup` names volumes as they are called on the host."""

    name: str
    host: str
    folder: str
    image: str
    task: bool
    metrics: Metrics | None
    backup: tuple[str, ...]
    ssh: SshEntry | None = None
    may_stop: bool = False


@dataclass(frozen=True)
class HostPlan:
    """What one host runs; `folders` stand in the order in which their content is made.

    `images` are built on the service host, for all, and pulled by the others.
    """

    host: HostView
    folders: tuple[HostedFolder, ...]
    routes: tuple[Route, ...]
    streams: tuple[Stream, ...]
    services: tuple[Service, ...]
    images: tuple[Image, ...]


@dataclass(frozen=True)
class LeftVolume:
    """A volume of a folder that is on no host, with what its `leaves.yml` says of it."""

    folder: str
    kind: str
    group: int


@dataclass(frozen=True)
class Plan:
    """What the whole platform runs."""

    settings: Settings
    catalogue: Catalogue
    images: Images
    hosts: tuple[HostPlan, ...]
    clusters: tuple[HostPlan, ...] = ()
    """Clusters that are there for jobs alone: no route or stream leads to them."""

    def hosted(self, name: str) -> HostPlan:
        """The host or cluster of that name."""
        return next(each for each in (*self.hosts, *self.clusters) if each.host.name == name)

    @cached_property
    def folders(self) -> Mapping[str, HostedFolder]:
        """Each folder once, as it stands on the first host that has it."""
        found: dict[str, HostedFolder] = {}
        for host in (*self.hosts, *self.clusters):
            for folder in host.folders:
                found.setdefault(folder.name, folder)
        return found

    @cached_property
    def left(self) -> Mapping[str, LeftVolume]:
        """What folders that are on no host may have left: name of the volume → what it holds."""
        return {
            f"{name}-{volume}": LeftVolume(name, left.kind, left.group)
            for name, folder in self.catalogue.services.items()
            if name not in self.folders
            for volume, left in folder.leaves.items()
        }

    @cached_property
    def service_host(self) -> HostPlan:
        """The host that runs the services."""
        return next(host for host in self.hosts if host.host.service)

    def _others(self, host: HostPlan) -> list[HostPlan]:
        """The hosts that the proxy of `host` leads to: the service host's to all, others' to it."""
        return [
            other
            for other in self.hosts
            if other is not host and (host.host.service or other.host.service)
        ]

    def repository_url(self, project: str) -> str:
        """Return what git takes for a project's repository.

        Raises:
            InputError: no service keeps repositories.
        """
        for stream in self.streams:
            if stream.ssh is not None and stream.ssh.repositories is not None:
                path = stream.ssh.repositories.replace("PROJECT", project)
                return f"ssh://{stream.ssh.user}@{stream.hostname}:{stream.listen}/{path}"
        raise InputError(
            "no service keeps the repositories of projects; which folder is the forge?"
        )

    def passed_routes(self, host: HostPlan) -> tuple[Route, ...]:
        """The routes of other hosts that the proxy of `host` passes on."""
        return tuple(route for other in self._others(host) for route in other.routes)

    def passed_streams(self, host: HostPlan) -> tuple[Stream, ...]:
        """The streams of other hosts that the proxy of `host` passes on.

        On the service host, all that are not for itself alone. On a runner host, those of the
        service host on ports that it has no stream of its own on.
        """
        own = set() if host.host.service else {stream.listen for stream in host.streams}
        return tuple(
            stream
            for other in self._others(host)
            for stream in other.streams
            if not stream.private and stream.listen not in own
        )

    def published_streams(self, host: HostPlan) -> tuple[Stream, ...]:
        """The streams on ports that `host` publishes."""
        return (*host.streams, *(self.passed_streams(host) if host.host.service else ()))

    def published_ports(self, host: HostPlan) -> tuple[int, ...]:
        """The TCP ports that `host` publishes."""
        ports = self.settings.ports
        if host.host.service:
            own = [ports.http, ports.https]
        else:
            own = [ports.hosts] if host.routes else []
        return (*own, *(stream.listen for stream in self.published_streams(host)))

    def published_at(self, host: HostPlan) -> str:
        """The IP address that these ports bind to."""
        return self.settings.address if host.host.service else host.host.listen

    def names_lead_to(self, host: HostPlan) -> str:
        """The IP address at which programs of `host` itself find its names."""
        if not host.host.service:
            return self.service_host.host.listen
        return EVERYWHERE.get(self.settings.address, self.settings.address)

    def names(self, host: HostPlan) -> tuple[str, ...]:
        """The names that the proxy of `host` answers to."""
        found = {self.settings.domain}
        found |= {each.hostname for each in (*host.routes, *self.passed_routes(host))}
        found |= {each.hostname for each in (*host.streams, *self.passed_streams(host))}
        return tuple(sorted(found))

    @cached_property
    def common_names(self) -> tuple[str, ...]:
        """The names of what is there for everybody: all but those of workspaces."""
        own = {service.name for service in self.services if service.ssh is not None}
        found = {self.settings.domain}
        found |= {route.hostname for route in self.routes if route.service not in own}
        found |= {stream.hostname for stream in self.streams if stream.service not in own}
        return tuple(sorted(found))

    @cached_property
    def shipped(self) -> Mapping[str, str]:
        """What other hosts pull of the service host's images: reference → name in the registry."""
        names = {image.reference: name for name, image in self.images.environments.items()}
        return {
            image.reference: f"environments/{names[image.reference]}"
            if image.reference in names
            else f"services/{image.name}"
            for host in self.hosts
            if not host.host.service
            for image in host.images
        }

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes of all hosts."""
        return tuple(route for host in self.hosts for route in host.routes)

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of all hosts."""
        return tuple(stream for host in self.hosts for stream in host.streams)

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The compose services of all hosts."""
        return tuple(service for host in self.hosts for service in host.services)


def hostname(domain: str, route: str) -> str:
    """Return the DNS name of a route; `@` is the domain itself."""
    return domain if route == "@" else f"{route}.{domain}"


def url(settings: Settings, route: str) -> str:
    """Return the URL of a route, with the port where it is not 443."""
    return f"https://{hostname(settings.domain, route)}{port_suffix(settings)}"


def port_suffix(settings: Settings) -> str:
    """Return what URLs need after the host name: a colon and the port, or nothing for 443."""
    port = settings.ports.https
    return "" if port == 443 else f":{port}"
