"""Variables of pipelines."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from dap.content import Context

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


def of_platform(context: Context) -> Wanted:
    """Return the variables of all projects: the images of the environments."""
    route = next(route for route in context.routes.values() if route["registry"])
    registry = urlsplit(route["url"]).netloc
    overrides = context.settings["images"]["overrides"]
    found = {}
    for name, reference in context.environments.items():
        image = f"{registry}/environments/{name}:{reference.rpartition(':')[2]}"
        if f"environment-{name}" in overrides:
            image = reference
        variable = "DAP_ENVIRONMENT_" + name.upper().replace("-", "_")
        found[variable] = _variable(context, image, "env_var")
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
