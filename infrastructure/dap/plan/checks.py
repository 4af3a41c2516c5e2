"""Checks that need settings and catalogue together."""

from __future__ import annotations

from collections.abc import Iterable

from dap.catalogue import Catalogue
from dap.errors import InputError
from dap.plan.model import HostPlan, Plan
from dap.plan.secrets import secret_specs
from dap.settings import Problem, Settings, choice, memory_bytes, refusal
from dap.settings.problem import Path

_KINDS: dict[type, str] = {bool: "true, false", int: "a whole number", str: "text"}


def check_settings(settings: Settings, catalogue: Catalogue) -> None:
    """Check what can be checked before any folder is rendered.

    Raises:
        InputError: the settings name an environment that is not there.
    """
    environments = list(catalogue.environments)
    problems = [
        settings.problem(
            ("workspaces", index, "environment"),
            "is no environment",
            choice(workspace.environment, environments),
            workspace.environment,
        )
        for index, workspace in enumerate(settings.workspaces)
        if workspace.environment not in catalogue.environments
    ]
    if settings.workspaces and not any("runner" in host.roles for host in settings.hosts):
        problems.append(
            settings.problem(("workspaces",), "have no host to run on", "a host with role runner")
        )
    problems += [
        settings.problem(
            ("environments", index), "is no environment", choice(name, environments), name
        )
        for index, name in enumerate(settings.environments)
        if name not in catalogue.environments
    ]
    problems += _only_on_hosts(settings, catalogue)
    _refuse([*problems, *_too_small(settings, catalogue), *_options(settings, catalogue)])


def _only_on_hosts(settings: Settings, catalogue: Catalogue) -> Iterable[Problem]:
    named: list[tuple[Path, str]] = [
        *((("environments", index), name) for index, name in enumerate(settings.environments)),
        *(
            (("workspaces", index, "environment"), workspace.environment)
            for index, workspace in enumerate(settings.workspaces)
        ),
    ]
    for path, name in named if settings.clusters_alone_run_jobs else ():
        environment = catalogue.environments.get(name)
        if environment is not None and environment.options.hosts_only:
            yield settings.problem(
                path,
                f"needs a host that runs jobs: {environment.options.hosts_only}",
                "a host with slots beside the clusters, or another environment",
                name,
            )


def _too_small(settings: Settings, catalogue: Catalogue) -> Iterable[Problem]:
    for index, workspace in enumerate(settings.workspaces):
        environment = catalogue.environments.get(workspace.environment)
        if environment is None:
            continue
        needs = environment.options
        where = f"{workspace.environment} needs"
        if needs.cpus is not None and workspace.cpus < needs.cpus:
            yield settings.problem(
                ("workspaces", index, "cpus"),
                "is too little",
                f"{where} {needs.cpus:g} or more",
                workspace.cpus,
            )
        if needs.memory is not None and memory_bytes(workspace.memory) < memory_bytes(needs.memory):
            yield settings.problem(
                ("workspaces", index, "memory"),
                "is too little",
                f"{where} {needs.memory} or more",
                workspace.memory,
            )


def _options(settings: Settings, catalogue: Catalogue) -> Iterable[Problem]:
    for name, given in settings.options.items():
        folder = catalogue.services.get(name)
        if folder is None or not folder.options:
            known = [each.name for each in catalogue.services.values() if each.options]
            yield settings.problem(("options", name), "has no options", choice(name, known))
            continue
        for key, value in given.items():
            path = ("options", name, key)
            option = folder.options.get(key)
            if option is None:
                yield settings.problem(path, "is no option", choice(key, [*folder.options]))
            elif type(value) is not type(option.default):
                allowed = _KINDS[type(option.default)]
                yield settings.problem(path, "is of the wrong kind", allowed, value)
            elif option.choices and value not in option.choices:
                allowed = choice(str(value), option.choices)
                yield settings.problem(path, "is none of what is allowed", allowed, value)


def check_plan(plan: Plan) -> None:
    """Check the whole plan.

    Raises:
        InputError: names the file and key of each problem.
    """
    _refuse([*_names_in_settings(plan), *_taken_names(plan)])
    problems = [
        *_needs(plan),
        *_secrets(plan),
        *_routes(plan),
        *_ssh(plan),
        *(problem for host in plan.hosts for problem in _host(plan, host)),
    ]
    if problems:
        raise InputError("\n".join(problems))


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise refusal(problems)


def _names_in_settings(plan: Plan) -> Iterable[Problem]:
    hosts = (*plan.hosts, *plan.clusters)
    services = sorted({service.name for host in hosts for service in host.services})
    for name in plan.settings.resources:
        if name not in services:
            yield plan.settings.problem(
                ("resources", name), "is no service", choice(name, services)
            )
    images = sorted(plan.images.names)
    for name in plan.settings.images.overrides:
        if name not in images:
            yield plan.settings.problem(
                ("images", "overrides", name), "is no image", choice(name, images)
            )


def _taken_names(plan: Plan) -> Iterable[Problem]:
    """Names of people, projects and workspaces that a service has already."""
    resources = [
        each for each_folder in plan.folders.values() for each in each_folder.options.resources
    ]
    accounts = {name for each in resources for name in (each.name, each.owner) if name}
    named: dict[str, set[str]] = {}
    for name, folder in [
        *((service.name, service.folder) for service in plan.services),
        *((route.name, route.folder) for route in plan.routes),
    ]:
        named.setdefault(name, set()).add(folder)
    served = {name for name, folders in named.items() if len(folders) > 1}
    reserved = [folder.options.reserved for folder in plan.folders.values()]
    users = accounts | {name for each in reserved for name in each.users}
    projects = accounts | {name for each in reserved for name in each.projects}
    for section, taken in (("users", users), ("projects", projects), ("workspaces", served)):
        for index, entry in enumerate(getattr(plan.settings, section)):
            if entry.name in taken:
                yield plan.settings.problem(
                    (section, index, "name"),
                    "is the name of a service",
                    f"any but {', '.join(sorted(taken))}",
                    entry.name,
                )


def _needs(plan: Plan) -> Iterable[str]:
    known = plan.catalogue.services
    for folder in plan.folders.values():
        where = folder.folder.compose.where
        for name in folder.options.needs:
            if name not in known:
                yield f"{where}: x-dap.needs: no service '{name}'; there are: {', '.join(known)}"
        for resource in folder.options.resources:
            if resource.from_ not in plan.folders:
                yield (
                    f"{where}: x-dap.resources: from: '{resource.from_}' runs on no host; "
                    f"there are: {', '.join(sorted(plan.folders))}"
                )
            elif not plan.folders[resource.from_].folder.content:
                yield (
                    f"{where}: x-dap.resources: from: '{resource.from_}' has no content "
                    "that could make it"
                )


def _secrets(plan: Plan) -> Iterable[str]:
    known = secret_specs(plan)
    for folder in plan.folders.values():
        for resource in folder.options.resources:
            if resource.secret is not None and resource.secret not in known:
                yield (
                    f"{folder.folder.compose.where}: x-dap.resources: secret: "
                    f"'{resource.secret}' is declared nowhere"
                )
    for host in plan.hosts:
        for folder in host.folders:
            files = {file.path.removesuffix(".j2") for file in folder.folder.secrets}
            names = files | folder.options.secrets.keys()
            for service in folder.services:
                for name in service.secrets:
                    if name not in names:
                        yield (
                            f"{service.where}.secrets: '{name}' is neither a file of secrets/ nor "
                            f"in x-dap.secrets; there are: {', '.join(sorted(names)) or 'none'}"
                        )


def _routes(plan: Plan) -> Iterable[str]:
    owner: dict[str, str] = {}
    for route in plan.routes:
        mine = f"{route.folder}/compose.yml: services.{route.service} (host {route.host})"
        other = owner.setdefault(route.name, mine)
        if other != mine:
            yield f"{mine}: x-dap.routes: '{route.name}' is taken by {other}"


def _ssh(plan: Plan) -> Iterable[str]:
    known = secret_specs(plan)
    for host in plan.hosts:
        servers = [(stream.folder, stream.service, stream.ssh) for stream in host.streams]
        entries = [(service.folder, service.name, service.ssh) for service in host.services]
        for folder, service, ssh in [*servers, *entries]:
            if ssh is not None and known.get(ssh.host_key) != "ssh-key":
                yield (
                    f"{folder}/compose.yml: services.{service}: x-dap: ssh: host_key: "
                    f"'{ssh.host_key}' is no secret of kind ssh-key"
                )
        jumps = [stream for stream in host.streams if stream.ssh and stream.ssh.jump]
        waiting = [service for service in host.services if service.ssh]
        if len(jumps) != 1 and (waiting or jumps):
            yield (
                f"host {host.host.name}: {len(jumps)} streams with ssh: {{jump: true}} "
                f"for {', '.join(service.name for service in waiting) or 'nothing'}; one is needed"
            )


def _host(plan: Plan, host: HostPlan) -> Iterable[str]:
    ports = plan.settings.ports
    taken = {ports.https: "ports.https"}  # the proxy of a runner host listens there, too
    taken |= {ports.http: "ports.http"} if host.host.service else {ports.hosts: "ports.hosts"}
    for stream in plan.published_streams(host):
        mine = f"{stream.folder}/compose.yml: services.{stream.service}"
        other = taken.setdefault(stream.listen, mine)
        if other != mine:
            yield f"{mine}: x-dap.streams: port {stream.listen} is taken by {other}"
    seen: dict[str, str] = {}
    for service in host.services:
        other = seen.setdefault(service.name, service.folder)
        if other != service.folder:
            yield (
                f"{service.folder}/compose.yml: services.{service.name}: "
                f"the name is taken by {other}/compose.yml"
            )
    entries = [
        service.where
        for folder in host.folders
        for service in folder.services
        if service.options.entry
    ]
    if len(entries) > 1:
        yield f"{entries[1]}.x-dap.entry: the entry of host {host.host.name} is {entries[0]}"
    if not entries and (host.routes or host.streams):
        yield (
            f"host {host.host.name}: has routes or streams but no service with x-dap.entry: true; "
            "which folder is its proxy?"
        )
