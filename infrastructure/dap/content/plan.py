"""Reads what `dap render` left for the content run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class PlanError(Exception):
    """A file that the content run starts from is missing or not as expected."""


@dataclass(frozen=True)
class Folder:
    """A service folder; `script` is its content.py, None if it has none."""

    name: str
    needs: frozenset[str]
    script: Path | None


@dataclass(frozen=True)
class Plan:
    """The settings as plain data, the folders, and what they ask of each other."""

    settings: Mapping[str, Any]
    folders: Mapping[str, Folder]
    resources: tuple[Mapping[str, Any], ...]


def read_plan(tree: Path) -> Plan:
    """Read `plan.json` in `tree`; the script of folder NAME is `services/NAME/content.py` there.

    Raises:
        PlanError: a file is missing or has another shape than doc/architecture.md describes.
    """
    path = tree / "plan.json"
    data = _read(path)
    try:
        described = data["folders"]
        folders = {
            name: Folder(name, frozenset(folder.get("needs", [])), _script(tree, name))
            for name, folder in described.items()
        }
        resources = tuple(
            resource for folder in described.values() for resource in folder.get("resources", [])
        )
        return Plan(settings=data["settings"], folders=folders, resources=resources)
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


def _script(tree: Path, name: str) -> Path | None:
    path = tree / "services" / name / "content.py"
    return path if path.is_file() else None


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
