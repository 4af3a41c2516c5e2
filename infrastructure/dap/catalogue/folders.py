"""Reads the folders of `infrastructure/services/` and `environments/`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import ValidationError

from dap.catalogue.model import EnvironmentOptions
from dap.errors import InputError

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = ("base", "builder", "dap")
NOT_CONTEXT = {"compose.yml", "content.py", "README.md", "config", "secrets", "client", "tests"}
NOT_ENVIRONMENT = {"environment.yml", "README.md", "tests"}
_LITTER = {"__pycache__", ".DS_Store", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@dataclass(frozen=True)
class SourceFile:
    """A file of the catalogue; `path` is relative to the part it belongs to."""

    path: str
    where: str
    content: bytes
    executable: bool

    @cached_property
    def text(self) -> str:
        """The content as text.

        Raises:
            InputError: it is not UTF-8.
        """
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where}: not UTF-8 text: {error}") from error


@dataclass(frozen=True)
class ServiceFolder:
    """One folder of `infrastructure/services/`."""

    name: str
    where: str
    compose: SourceFile
    context: tuple[SourceFile, ...]
    config: tuple[SourceFile, ...]
    secrets: tuple[SourceFile, ...]
    client: tuple[SourceFile, ...]
    content: SourceFile | None

    @cached_property
    def digest(self) -> str:
        """Digest of the build context."""
        return digest_of_files(self.context)


@dataclass(frozen=True)
class EnvironmentFolder:
    """One folder of `environments/`."""

    name: str
    where: str
    options: EnvironmentOptions
    context: tuple[SourceFile, ...]

    @cached_property
    def digest(self) -> str:
        """Digest of the build context."""
        return digest_of_files(self.context)


@dataclass(frozen=True)
class Catalogue:
    """All that can be deployed, as read from disk; nothing is rendered yet."""

    services: Mapping[str, ServiceFolder]
    environments: Mapping[str, EnvironmentFolder]
    base: tuple[SourceFile, ...]
    content: tuple[SourceFile, ...]

    @cached_property
    def base_digest(self) -> str:
        """Digest of the build context of `base` and `builder`."""
        return digest_of_files(self.base)


def digest_of_files(files: Iterable[SourceFile]) -> str:
    """Return the SHA-256 (hex) over paths, executable bits and contents, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        head = f"{file.path}\0{int(file.executable)}\0{len(file.content)}\0"
        digest.update(head.encode())
        digest.update(file.content)
    return digest.hexdigest()


def read_catalogue(root: Path) -> Catalogue:
    """Read the catalogue of the project at `root` (the directory of `platform.yml`).

    Raises:
        InputError: a folder is not as doc/architecture.md describes; names the folder.
    """
    infrastructure = root / "infrastructure"
    services = {path.name: _service(root, path) for path in _folders(infrastructure / "services")}
    environments = {path.name: _environment(root, path) for path in _folders(root / "environments")}
    return Catalogue(
        services=services,
        environments=environments,
        base=_files(root, infrastructure / "base", skip=lambda path: path == "README.md"),
        content=_files(root, infrastructure / "dap" / "content"),
    )


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise InputError(f"{parent}: no such directory")
    folders = sorted(path for path in parent.iterdir() if path.is_dir() and any(path.iterdir()))
    for path in folders:
        if path.name in _LITTER:
            continue
        if not LABEL.fullmatch(path.name):
            raise InputError(f"{path}: the name must be a DNS label (a-z, 0-9 and -)")
    return [path for path in folders if path.name not in _LITTER]


def _service(root: Path, path: Path) -> ServiceFolder:
    where = path.relative_to(root).as_posix()
    if path.name in RESERVED:
        raise InputError(f"{where}: the name is reserved; reserved are {', '.join(RESERVED)}")
    files = _files(root, path)
    top = {file.path: file for file in files if "/" not in file.path}
    if "compose.yml" not in top:
        raise InputError(f"{where}: compose.yml is missing")
    client = _below(files, "client")
    for file in client:
        if not file.path.endswith(".j2") or "/" in file.path:
            raise InputError(f"{file.where}: files of client/ are templates: NAME.j2")
    return ServiceFolder(
        name=path.name,
        where=where,
        compose=top["compose.yml"],
        context=tuple(f for f in files if f.path.split("/", 1)[0] not in NOT_CONTEXT),
        config=_below(files, "config"),
        secrets=_below(files, "secrets"),
        client=client,
        content=top.get("content.py"),
    )


def _environment(root: Path, path: Path) -> EnvironmentFolder:
    where = path.relative_to(root).as_posix()
    files = {file.path: file for file in _files(root, path)}
    for name in ("environment.yml", "Dockerfile"):
        if name not in files:
            raise InputError(f"{where}: {name} is missing")
    described = files["environment.yml"]
    try:
        options = EnvironmentOptions.model_validate(yaml.safe_load(described.content) or {})
    except yaml.YAMLError as error:
        raise InputError(f"{described.where}: {yaml_problem(error)}") from error
    except ValidationError as error:
        raise InputError(model_problem(described.where, error)) from error
    context = tuple(
        file for name, file in files.items() if name.split("/", 1)[0] not in NOT_ENVIRONMENT
    )
    return EnvironmentFolder(path.name, where, options, context)


def yaml_problem(error: yaml.YAMLError) -> str:
    """Return a YAML error on one line, with its line number."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def model_problem(where: str, error: ValidationError, prefix: str = "") -> str:
    """Return the problems that a model found, one line each: file, key, what is wrong."""
    lines = []
    for detail in error.errors(include_url=False):
        key = ".".join([prefix] * bool(prefix) + [str(part) for part in detail["loc"]])
        lines.append(f"{where}: {key or 'the file'}: {detail['msg']}")
    return "\n".join(lines)


def _files(
    root: Path, folder: Path, skip: Callable[[str], bool] = lambda _: False
) -> tuple[SourceFile, ...]:
    found = []
    for parent, directories, names in os.walk(folder, followlinks=True):
        directories[:] = sorted(name for name in directories if name not in _LITTER)
        for name in names:
            file = Path(parent, name)
            path = file.relative_to(folder).as_posix()
            if name in _LITTER or name.endswith(".pyc") or skip(path):
                continue
            if not file.is_file():
                raise InputError(f"{file}: neither a file nor a directory, or a broken link")
            found.append(
                SourceFile(
                    path=path,
                    where=file.relative_to(root).as_posix(),
                    content=file.read_bytes(),
                    executable=os.access(file, os.X_OK) and bool(file.stat().st_mode & 0o100),
                )
            )
    return tuple(sorted(found, key=lambda file: file.path))


def _below(files: Iterable[SourceFile], part: str) -> tuple[SourceFile, ...]:
    start = f"{part}/"
    return tuple(
        SourceFile(file.path.removeprefix(start), file.where, file.content, file.executable)
        for file in files
        if file.path.startswith(start)
    )
