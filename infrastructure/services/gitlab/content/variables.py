"""Variables of pipelines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dap.content import Context

from .images import tag

# Variables with this description are the platform's to take away; those of others stay.
OURS = "Made by the platform"
# What GitLab can hide in logs: eight characters or more, of these, on one line.
MASKABLE = re.compile(r"[A-Za-z0-9+/=@:.~_-]{8,}")
Wanted = dict[str, dict[str, Any]]


def of_project(context: Context, project: str) -> Wanted:
    """Return the variables of a project: what clients need that log in as it."""
    client = context.client(project)
    everywhere = context.options["variables"] == "all"
    kinds = [("env_var", client.environment), ("file", client.files)]
    found = {
        name: _variable(context, value, kind, everywhere=everywhere)
        for kind, values in kinds
        for name, value in values.items()
    }
    found["DAP_PROJECT"] = _variable(context, project, "env_var")
    # Files have it inside and can't be hidden as a whole: GitLab hides it where it stands alone.
    password = context.secret(f"projects/{project}/password")
    found["DAP_PROJECT_PASSWORD"] = _variable(context, password, "env_var", everywhere=everywhere)
    return found


def of_platform(context: Context, environments: Mapping[str, str]) -> Wanted:
    """Return the variables of all projects: the images of the `environments`."""
    return {
        "DAP_ENVIRONMENT_" + name.upper().replace("-", "_"): _variable(context, image, "env_var")
        for name, image in environments.items()
    }


def of_own_project(context: Context, registry: str, environments: Mapping[str, str]) -> Wanted:
    """Return what the platform's own repository has more: what its builds start from, its gitops.

    The forge for few people gives its jobs the same.
    """
    base = context.base_images
    images = {
        "registry": registry,
        "content": base["content"],
        **{name: f"{registry}/{name}:{tag(base[name])}" for name in ("base", "builder")},
        "environments": {
            name: {"content": context.environment_contents[name], "image": image}
            for name, image in environments.items()
        },
    }
    found = {"DAP_IMAGES": _variable(context, json.dumps(images, sort_keys=True), "file")}
    settings = context.settings
    on_hosts = any(each["slots"] and "runner" in each["roles"] for each in settings["hosts"])
    if settings["cluster"] is not None or not on_hosts:
        found["DAP_ENVIRONMENTS_BY_DEPLOY"] = _variable(context, "true", "env_var")
    for name in ("plan", "apply"):
        if context.settings["gitops"][name]:
            found[f"DAP_GITOPS_{name.upper()}"] = _variable(context, "true", "env_var")
    return found


def _variable(
    context: Context, value: str, kind: str, *, everywhere: bool = False
) -> dict[str, Any]:
    secret = context.is_secret(value)
    return {
        "value": value,
        "variable_type": kind,
        "protected": secret and not everywhere,
        "masked": secret and MASKABLE.fullmatch(value) is not None,
        # A dollar in a value is a dollar.
        "raw": True,
        "description": OURS,
    }


def apply(context: Context, manager: Any, wanted: Wanted, of: str) -> None:
    """Make exactly the `wanted` variables of those that are the platform's."""
    found = {variable.key: variable.attributes for variable in manager.list(iterator=True)}
    changed = False
    for key, variable in wanted.items():
        have = found.get(key)
        if have is not None and {part: have.get(part) for part in variable} == variable:
            continue
        changed = True
        if context.check:
            continue
        if have is None:
            manager.create({"key": key, **variable})
        else:
            manager.update(key, variable)
    for key in sorted(found.keys() - wanted.keys()):
        if found[key].get("description") == OURS:
            changed = True
            if not context.check:
                manager.delete(key)
    context.step(f"variables of {of}", changed)
