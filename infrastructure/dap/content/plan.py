"""Reads what `dap render` left for the content run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEFT = Path("/left")


class PlanError(Exception):
    """A file that the content run starts from is missing or not as expected."""


@dataclass(frozen=True)
class Folder:
    """A service folder; `script` is its content.py or content/__init__.py, None if it has none."""

    name: str
    needs: frozenset[str]
    script: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """Variables, and variable that points to a file → content of the file."""

    environment: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """The settings as plain data, the folders, and what they ask of each other.

    `routes` is name → as plan.json has it, `environments` name → image,
    `environment_contents` name → content. `left`: the folder of what service folders left that are
    not there any more, as KIND/FOLDER.
    """

    settings: Mapping[str, Any]
    folders: Mapping[str, Folder]
    resources: tuple[Mapping[str, Any], ...]
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    environment_contents: Mapping[str, str] = field(default_factory=dict)
    base_images: Mapping[str, str] = field(default_factory=dict)
    left: Path = LEFT


def read_plan(tree: Path, left: Path = LEFT) -> Plan:
    """Read `plan.json` in `tree`; the script of folder NAME is in `services/NAME` there.

    `left` has what folders left that are not there any more.

    Raises:
        PlanError: a file is missing or has another shape than doc/architecture.md describes.
    """
    path = tree / "plan.json"
    data = _read(path)
    try:
        described = data["folders"]
        folders = {
            name: Folder(
                name,
                frozenset(folder.get("needs", [])),
                _script(tree, name),
                folder.get("options", {}),
            )
            for name, folder in described.items()
        }
        resources = tuple(
            resource for folder in described.values() for resource in folder.get("resources", [])
        )
        return Plan(
            settings=data["settings"],
            folders=folders,
            resources=resources,
            routes={route["name"]: route for route in data.get("routes", [])},
            environments=data.get("environments", {}),
            environment_contents=data.get("environment_contents", {}),
            base_images=data.get("base_images", {}),
            left=left,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path}: not the plan of this version: {error!r}") from error


def read_secrets(path: Path) -> dict[str, str]:
    """Read the secrets, a JSON object of names and values.

    Raises:
        PlanError: the file is missing or no such object.
    """
    secrets = _read(path)
    if not all(isinstance(value, str) for value in secrets.values()):
        raise PlanError(f"{path}: every value must be text")
    return secrets


def read_clients(path: Path) -> dict[str, Client]:
    """Read what clients need that log in as a project: project → its variables and files.

    Raises:
        PlanError: the file is missing or has another shape.
    """
    try:
        return {
            name: Client(client["environment"], client["files"])
            for name, client in _read(path).items()
        }
    except (KeyError, TypeError) as error:
        raise PlanError(f"{path}: not the clients of this version: {error!r}") from error


def _script(tree: Path, name: str) -> Path | None:
    folder = tree / "services" / name
    found = [folder / "content.py", folder / "content" / "__init__.py"]
    return next((path for path in found if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise PlanError(f"{path}: no JSON: {error}") from error
    if not isinstance(data, dict):
        raise PlanError(f"{path}: must be an object, found {type(data).__name__}")
    return data
