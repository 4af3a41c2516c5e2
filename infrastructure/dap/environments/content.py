"""What an environment is made of, in twelve hex digits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from dap.errors import InputError
from dap.files import (
    LITTER,
    NOT_BASE,
    NOT_ENVIRONMENT,
    SourceFile,
    digest_of_files,
    outside,
    read_files,
)

ROOT = "base"  # an environment that starts from none starts from the image of this name
_DIGITS = 12


@dataclass(frozen=True)
class Folder:
    """A folder of `environments/`; `context` is what its image is built from."""

    name: str
    parent: str
    context: tuple[SourceFile, ...]


def read_folders(root: Path) -> dict[str, Folder]:
    """Return the environments of the repository at `root`, each after its parent.

    Raises:
        InputError: a folder is not as it must be.
    """
    folders: dict[str, Folder] = {}
    for path in sorted((root / "environments").iterdir()):
        described = path / "environment.yml"
        if path.name in LITTER or not path.is_dir() or not any(path.iterdir()):
            continue
        where = described.relative_to(root)
        for file in (described, path / "Dockerfile"):
            if not file.is_file():
                raise InputError(f"{file.relative_to(root)}: missing")
        try:
            options = yaml.safe_load(described.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise InputError(f"{where}: {error}") from error
        if not isinstance(options, dict):
            raise InputError(f"{where}: must be a mapping of keys")
        parent = str(options.get("parent", ROOT))
        context = read_files(root, path, outside(NOT_ENVIRONMENT))
        folders[path.name] = Folder(path.name, parent, context)
    return {name: folders[name] for name in _in_order(folders)}


def _in_order(folders: Mapping[str, Folder]) -> list[str]:
    order: list[str] = []

    def add(name: str, children: tuple[str, ...]) -> None:
        if name in children:
            raise InputError(f"environments/{name}: descends from itself")
        if name in order:
            return
        parent = folders[name].parent
        if parent in folders and parent_of(name, parent):
            add(parent, (*children, name))
        elif parent != ROOT:
            where = f"environments/{name}/environment.yml"
            known = ", ".join(sorted({ROOT, *folders}))
            raise InputError(f"{where}: parent: no environment '{parent}'; allowed: {known}")
        order.append(name)

    for name in folders:
        add(name, ())
    return order


def parent_of(name: str, parent: str) -> str | None:
    """Return the environment that another starts from; None for the one that starts from none."""
    return None if name == parent == ROOT else parent


def base_content(root: Path) -> str:
    """Return the content of the images `base` and `builder` of the repository at `root`."""
    files = read_files(root, root / "infrastructure" / "base", outside(NOT_BASE))
    return content_of_base(digest_of_files(files))


def content_of_base(digest: str) -> str:
    """Return the content of the base images; `digest` is over their build context."""
    return _short(digest)


def contents(base: str, digests: Mapping[str, str], parents: Mapping[str, str]) -> dict[str, str]:
    """Return the content of each environment: twelve hex digits over all that it is made of.

    Args:
        base: content of the base images.
        digests: digest over the build context of each environment.
        parents: the parent of each environment as environment.yml says it.
    """

    def chain(name: str) -> list[str]:
        found: list[str] = []
        seen: set[str] = set()
        while name in digests and name not in seen:
            seen.add(name)
            found.insert(0, digests[name])
            name = parents[name]
        return found

    return {name: _short(json.dumps([base, *chain(name)])) for name in digests}


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
