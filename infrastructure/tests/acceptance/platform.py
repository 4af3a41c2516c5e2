"""The running platform: what the plan says beside what its hosts say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from dap.engine.prepare import Prepared
from dap.plan import Service, Stream
from dap.reach import each
from dap.render import Renderer
from dap.render.client import Client, Identity
from dap.settings import Settings

from acceptance.compute import Compute
from acceptance.hosts import Host
from acceptance.place import Entry, Place


class Deployed:
    """A platform where it runs, on hosts or a cluster, as the acceptance tests see it."""

    def __init__(
        self, prepared: Prepared, hosts: Sequence[Place], clusters: Sequence[Compute] = ()
    ) -> None:
        """Know a project, the places of its plan, in its order, and clusters beside them."""
        self.prepared = prepared
        self.hosts = hosts
        self.clusters = clusters

    def look(self) -> bool:
        """Look at all hosts at once; tell whether the platform is on its service host."""
        found = each(self.hosts, lambda host: host.look())
        return found[self.hosts.index(self.service_host)]

    @property
    def name(self) -> str:
        """Name of the platform and of its Compose projects."""
        return self.settings.name

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return self.prepared.plan.settings

    @property
    def services(self) -> list[Service]:
        """The services that are always up."""
        return [service for service in self.prepared.plan.services if not service.task]

    @cached_property
    def service_host(self) -> Place:
        """The host that runs the services."""
        return next(host for host in self.hosts if host.view.service)

    def host(self, name: str) -> Place:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    def host_of(self, service: str) -> Place:
        """Where a service runs: the service host, if it does there."""
        found = [each.host for each in self.prepared.plan.services if each.name == service]
        own = self.service_host
        return own if own.name in found or not found else self.host(found[0])

    @property
    def resting(self) -> set[str]:
        """Services that are stopped because that was wanted."""
        return {name for host in self.hosts for name in host.resting}

    def runs_jobs(self) -> None:
        """Go on if jobs that ask for no place would run: on a host, or else in the first cluster.

        Raises:
            CheckError: that cluster is not well.
        """
        if any(host.runs_jobs for host in self.hosts):
            return
        first = next(iter(self.prepared.plan.clusters), None)
        for compute in self.clusters:
            if first is not None and compute.name == first.host.name:
                compute.reached()

    @property
    def entry(self) -> str:
        """Name of the service that receives all routes."""
        return self.service_host.entry

    @property
    def address(self) -> str:
        """At which IP address or name this machine reaches the proxy."""
        return self.service_host.outside

    def way_to(self, stream: Stream) -> tuple[Host | None, str]:
        """Who reaches a stream, none being this machine, and at which address.

        The service host's proxy passes on those of other hosts that are not for itself alone.
        """
        if stream.private:
            own = self.service_host
            assert isinstance(own, Host)  # a cluster has no other beside it
            return own, self.host(stream.host).view.listen
        return None, self.address

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
        return self.host_of(service).execute(service, *command)

    def files(self, service: str, target: str, *find: str) -> dict[str, Entry]:
        """Return files of what a service's container has mounted at `target`, by path in it.

        Args:
            service: compose service.
            target: path in its container.
            find: conditions of `find` for those that are wanted; {} stands for the place.
        """
        return self.host_of(service).files_in(service, target, *find)

    @property
    def hidden(self) -> dict[str, str]:
        """All secrets by name but certificates, which are public."""
        return {
            name: value
            for name, value in self.prepared.secrets.items()
            if not name.startswith("tls/") or name.endswith("key")
        }
