"""What every template may use."""

from __future__ import annotations

from typing import Any

from dap.catalogue import Catalogue, ServiceFolder
from dap.catalogue.model import EnvironmentRoute
from dap.errors import InputError
from dap.plan.images import Images
from dap.plan.model import HostView, hostname, port_suffix, url
from dap.settings import Settings


def base_context(
    settings: Settings,
    host: HostView,
    hosts: tuple[HostView, ...],
    clusters: tuple[HostView, ...],
    catalogue: Catalogue,
    images: Images,
) -> dict[str, Any]:
    """Return the names that templates of `compose.yml` and of all other files have in common."""
    return {
        "settings": settings,
        "host": host,
        "hosts": hosts,
        "clusters": clusters,
        "hostname": lambda route: hostname(settings.domain, route),
        "url": lambda route: url(settings, route),
        "port_suffix": port_suffix(settings),
        **_names_of_services(settings),
        "environment": images.environment,
        "environment_route": lambda name: environment_route(catalogue, name),
        "environment_contents": catalogue.environment_contents,
        "base_images": base_images(catalogue, images),
        "environments": {name: image.reference for name, image in images.environments.items()},
        "image": lambda name: f"dap/{name}",
    }


def base_images(catalogue: Catalogue, images: Images) -> dict[str, str]:
    """Return the images that all others start from, and their content."""
    return {
        "content": catalogue.base_content,
        "base": images.base.reference,
        "builder": images.builder.reference,
    }


def _names_of_services(settings: Settings) -> dict[str, Any]:
    """Return `resolver`, a server of names, and `dns_name(service)`, by which it knows a service.

    They are for what looks names up by itself, without the search list of its container.
    """
    if settings.cluster is None:
        return {"resolver": "127.0.0.11", "dns_name": lambda service: service}
    below = f"svc.{settings.cluster.domain}"
    return {
        "resolver": f"kube-dns.kube-system.{below}",
        "dns_name": lambda service: f"{service}.{settings.namespace}.{below}",
    }


def folder_options(settings: Settings, folder: ServiceFolder) -> dict[str, bool | int | str]:
    """Return what templates of a folder see as `options`: what is set, else the default."""
    given = settings.options.get(folder.name, {})
    return {name: given.get(name, option.default) for name, option in folder.options.items()}


def environment_route(catalogue: Catalogue, name: str) -> EnvironmentRoute | None:
    """Return the route that an environment or the nearest of its parents describes, if any does.

    Raises:
        InputError: there is no such environment.
    """
    if name not in catalogue.environments:
        known = ", ".join(catalogue.environments) or "none"
        raise InputError(f"no environment '{name}'; there are: {known}")
    options = catalogue.environments[name].options
    if "route" in options.model_fields_set:
        return options.route
    if options.parent == name or options.parent not in catalogue.environments:
        return None
    return environment_route(catalogue, options.parent)
