"""Makes the tree of each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dap.catalogue import Catalogue, HostedFolder, SourceFile, Templates
from dap.catalogue.model import Connect
from dap.errors import InputError
from dap.plan import HostPlan, Plan, Route, Service, Stream, base_context, folder_options
from dap.plan.model import hostname, url
from dap.render.client import Client, Clients, Identity, identities
from dap.render.compose import compose_file
from dap.render.data import as_json, as_one_line, plan_data
from dap.render.images import bake_data
from dap.render.tree import File, Tree
from dap.render.values import CA_CERTIFICATE, Secrets, Values
from dap.secrets.hosts import HOSTS_CA, host_certificate, host_key
from dap.settings import choice


@dataclass(frozen=True)
class PlanView:
    """The plan as templates of a host see it.

    `entry` is the service that receives all routes. `passed_*` are other hosts', which its proxy
    passes on to them; `hosts` are all, this one too. `names` are those that jobs ask for.
    """

    routes: tuple[Route, ...]
    streams: tuple[Stream, ...]
    services: tuple[Service, ...]
    connect: tuple[Connect, ...]
    entry: str
    passed_routes: tuple[Route, ...]
    passed_streams: tuple[Stream, ...]
    hosts: tuple[HostPlan, ...]
    names: tuple[str, ...]


class Renderer:
    """Renders a plan; without secrets each stands as a placeholder.

    `secrets` is an open vault.
    """

    def __init__(self, plan: Plan, secrets: Secrets | None = None) -> None:
        self.plan = plan
        self.values = Values(plan, secrets)
        self.identities = identities(plan, self.values)
        self._templates = Templates()
        self._clients = Clients(plan, self._templates, self._client_context)
        self._contexts = {
            host.host.name: self._host_context(host) for host in (*plan.hosts, *plan.clusters)
        }

    def trees(self) -> tuple[Tree, ...]:
        """Return the tree of each host. The same plan and secrets give the same bytes.

        Raises:
            InputError: a template is wrong; names its file and line.
        """
        return tuple(self._tree(host) for host in self.plan.hosts)

    def cluster_trees(self) -> tuple[Tree, ...]:
        """Return the tree of each cluster that runs jobs alone.

        Raises:
            InputError: a template is wrong; names its file and line.
        """
        return tuple(self._tree(host) for host in self.plan.clusters)

    def client(self, identity: Identity) -> Client:
        """Return what a client needs that logs in as `identity`.

        Raises:
            InputError: a template is wrong; names its file and line.
        """
        return self._clients.of(identity)

    def _tree(self, host: HostPlan) -> Tree:
        builds = host.host.service
        files = [
            *(_contexts(self.plan.catalogue, host) if builds else ()),
            *(file for folder in host.folders for file in self._config(host, folder)),
            *(file for folder in host.folders for file in self._secrets(host, folder)),
        ]
        data = plan_data(self.plan, host)
        files += _content(self.plan.catalogue, host, as_one_line(data))
        files.append(File("plan.json", as_json(data)))
        if builds:
            files.append(File("docker-bake.json", as_json(bake_data(host))))
        files.append(File("compose.yml", compose_file(self.plan, host, files, self.values)))
        files.sort(key=lambda file: file.path)
        return Tree(host.host.name, host.host.directory, tuple(files))

    def _config(self, host: HostPlan, folder: HostedFolder) -> Iterable[File]:
        context = {
            **self._of_folder(host.host.name, folder),
            # It is no secret: whoever is to trust the platform must be able to read it.
            "ca_certificate": self.values.secret(CA_CERTIFICATE),
        }
        for source in folder.folder.config:
            path, content = self._rendered(source, context)
            yield File(f"config/{folder.name}/{path}", content, 0o444)

    def _secrets(self, host: HostPlan, folder: HostedFolder) -> Iterable[File]:
        sources = {file.path.removesuffix(".j2"): file for file in folder.folder.secrets}
        context = {
            **self._of_folder(host.host.name, folder),
            **self._secret_context(),
            "client": self.client,
            "identities": self.identities,
            # By name: with a thousand workspaces, to look through all users for each takes seconds.
            "user": {
                each.name: each for each in self.identities if each.kind == "user"
            }.__getitem__,
            "vault": self.values.vault,
        }
        for service in folder.services:
            for name in service.secrets:
                if name in sources:
                    _, content = self._rendered(sources[name], {**context, "service": service.name})
                else:
                    content = self.values.secret(f"{folder.name}/{name}").encode()
                path = f"secrets/{folder.name}/{service.name}/{name}"
                yield File(path, content, 0o400, service.uid, secret=True)

    def _rendered(self, source: SourceFile, context: Mapping[str, Any]) -> tuple[str, bytes]:
        if not source.path.endswith(".j2"):
            return source.path, source.content
        text = self._templates.render(source.where, source.text, context)
        return source.path.removesuffix(".j2"), text.encode()

    def _host_context(self, host: HostPlan) -> dict[str, Any]:
        settings = self.plan.settings
        known = {route.name for route in self.plan.routes}
        known |= {stream.name for stream in self.plan.streams}

        def checked(name: str) -> str:
            if name not in known:
                allowed = choice(name, sorted(known))
                raise InputError(f"no route or stream '{name}'; there are: {allowed}")
            return name

        connect = tuple(
            way
            for other in self.plan.hosts
            for folder in other.folders
            for way in folder.options.connect
        )
        entries = (
            service.name
            for folder in host.folders
            for service in folder.services
            if service.options.entry
        )
        references = {service.name: service.image for service in host.services}

        def image(name: str) -> str:
            if name not in references:
                raise InputError(f"no service '{name}'; there are: {choice(name, [*references])}")
            return references[name]

        return {
            **base_context(
                settings,
                host.host,
                tuple(other.host for other in self.plan.hosts),
                tuple(other.host for other in self.plan.clusters),
                self.plan.catalogue,
                self.plan.images,
            ),
            "hostname": lambda name: hostname(settings.domain, checked(name)),
            "url": lambda name: url(settings, checked(name)),
            "image": image,
            "plan": PlanView(
                host.routes,
                host.streams,
                host.services,
                connect,
                next(iter(entries), ""),
                self.plan.passed_routes(host),
                self.plan.passed_streams(host),
                self.plan.hosts,
                self.plan.common_names,
            ),
        }

    def _secret_context(self) -> dict[str, Any]:
        return {
            "secret": self.values.secret,
            "bcrypt": self.values.bcrypt,
            "public_key": self.values.public_key,
            "ca_certificate": self.values.secret(CA_CERTIFICATE),
            "host_certificate": lambda name: self.values.secret(host_certificate(name)),
            "host_key": lambda name: self.values.secret(host_key(name)),
            "hosts_ca": lambda: self.values.secret(HOSTS_CA),
        }

    def _client_context(self, folder: str) -> Mapping[str, Any]:
        host = next(
            host.host.name
            for host in (*self.plan.hosts, *self.plan.clusters)
            if any(other.name == folder for other in host.folders)
        )
        return {**self._of_folder(host, self.plan.folders[folder]), **self._secret_context()}

    def _of_folder(self, host: str, folder: HostedFolder) -> dict[str, Any]:
        options = folder_options(self.plan.settings, folder.folder)
        return {**self._contexts[host], "options": options}


def _contexts(catalogue: Catalogue, host: HostPlan) -> Iterable[File]:
    """Yield the build contexts of the images that the host builds."""
    parts = {tuple(image.context.split("/")[:2]) for image in host.images}
    for part in sorted(parts):
        match part:
            case ("services", name):
                files = catalogue.services[name].context
            case ("environments", name):
                files = catalogue.environments[name].context
            case _:
                files = catalogue.base
        for file in files:
            yield _copied("/".join(part), file)


def _content(catalogue: Catalogue, host: HostPlan, data: bytes) -> Iterable[File]:
    for file in catalogue.content:
        yield _copied("content/dap/content", file)
    for folder in host.folders:
        for file in folder.folder.content:
            yield _copied(f"content/services/{folder.name}", file)
    yield File("content/plan.json", data)


def _copied(place: str, file: SourceFile) -> File:
    return File(f"{place}/{file.path}", file.content, 0o755 if file.executable else 0o644)
