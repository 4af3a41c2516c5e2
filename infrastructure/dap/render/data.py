"""`plan.json`: the plan as plain data for what runs on the host."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from dap.catalogue import HostedFolder
from dap.plan import HostPlan, Plan, base_images, folder_options

VERSION = 1


def plan_data(plan: Plan, host: HostPlan) -> dict[str, Any]:
    """Return the content of a host's `plan.json`; doc/architecture.md lists the keys."""
    return {
        "version": VERSION,
        "host": host.host.name,
        "listen": host.host.listen,
        "service": host.host.service,
        "settings": plan.settings.model_dump(mode="json"),
        "routes": [_plain(route) for route in plan.routes],
        "streams": [_plain(stream) for stream in plan.streams],
        "services": [_plain(service) for service in plan.services],
        "workspaces": {
            workspace.name: other.host.name
            for other in plan.hosts
            for workspace in other.host.workspaces
        },
        "folders": {folder.name: _folder(plan, folder) for folder in host.folders},
        "tasks": [service.name for service in host.services if service.task],
        "images": [{"name": image.name, "reference": image.reference} for image in host.images],
        "environments": {
            name: image.reference for name, image in sorted(plan.images.environments.items())
        },
        "environment_contents": dict(sorted(plan.catalogue.environment_contents.items())),
        "base_images": base_images(plan.catalogue, plan.images),
    }


def as_json(data: Mapping[str, Any]) -> bytes:
    """Return JSON with each entry of a top-level list or object on a line of its own."""
    parts = [f"  {_json(key)}: {_lines(value)}" for key, value in data.items()]
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def as_one_line(data: Mapping[str, Any]) -> bytes:
    """Return JSON for programs alone: a cluster takes no file that has more than 1 MiB."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _lines(value: Any) -> str:
    if isinstance(value, dict) and value:
        entries = [f"    {_json(key)}: {_json(entry)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(entries) + "\n  }"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {_json(entry)}" for entry in value) + "\n  ]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _folder(plan: Plan, folder: HostedFolder) -> dict[str, Any]:
    options = folder.options
    return {
        "title": options.title,
        "description": options.description,
        "needs": list(options.needs),
        "resources": [resource.data() for resource in options.resources],
        "options": folder_options(plan.settings, folder.folder),
    }


def _plain(item: Any) -> dict[str, Any]:
    return {field.name: _value(getattr(item, field.name)) for field in dataclasses.fields(item)}


def _value(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
