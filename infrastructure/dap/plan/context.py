"""What every template may use."""

from __future__ import annotations

from typing import Any

from dap.plan.images import Images
from dap.plan.model import HostView, hostname, port_suffix, url
from dap.settings import Settings


def base_context(settings: Settings, host: HostView, images: Images) -> dict[str, Any]:
    """Return the names that templates of `compose.yml` and of all other files have in common."""
    return {
        "settings": settings,
        "host": host,
        "hostname": lambda route: hostname(settings.domain, route),
        "url": lambda route: url(settings, route),
        "port_suffix": port_suffix(settings),
        "environment": images.environment,
        "environments": {name: image.reference for name, image in images.environments.items()},
        "image": lambda name: f"dap/{name}",
    }
