"""`docker-bake.json`: how the images of a host are built."""

from __future__ import annotations

from typing import Any

from dap.plan import HostPlan, Image


def bake_data(host: HostPlan) -> dict[str, Any]:
    """Return the content of a host's `docker-bake.json`: `default` is all of its images."""
    return {
        "group": {"default": {"targets": [image.name for image in host.images]}},
        "target": {image.name: _target(image) for image in host.images},
    }


def _target(image: Image) -> dict[str, Any]:
    options = {
        "dockerfile": image.dockerfile,
        "target": image.target,
        "args": dict(image.args),
        "contexts": dict(image.contexts),
        "labels": dict(image.labels),
    }
    return {
        "context": image.context,
        **{key: value for key, value in options.items() if value},
        "tags": [image.reference],
    }
