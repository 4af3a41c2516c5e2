"""Reads the folders of `infrastructure/services/` and `environments/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from dap.catalogue.model import EnvironmentOptions, Left, Option
from dap.environments.content import content_of_base, contents
from dap.environments.lock import PATH as LOCK
from dap.environments.lock import Locked, read_lock
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

T = TypeVar("T")

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = ("base", "builder", "dap")
NOT_CONTEXT = {
    *("compose.yml", "content.py", "reproduce.py", "options.yml", "leaves.yml", "README.md"),
    *("config", "content", "secrets", "client", "tests"),
}


_OPTIONS = TypeAdapter(dict[str, Option])
_LEAVES = TypeAdapter(dict[str, Left])


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
    content: tuple[SourceFile, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    leaves: Mapping[str, Left] = field(default_factory=dict)

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
    lock: Mapping[str, Locked]
    base: tuple[SourceFile, ...]
    content: tuple[SourceFile, ...]

    @cached_property
    def base_digest(self) -> str:
        """Digest of the build context of `base` and `builder`."""
        return digest_of_files(self.base)

    @cached_property
    def base_content(self) -> str:
        """Content of `base` and `builder`, as pipelines compute it."""
        return content_of_base(self.base_digest)

    @cached_property
    def environment_contents(self) -> Mapping[str, str]:
        """Content of each environment, as environments/lock.yml holds it."""
        folders = self.environments
        return contents(
            self.base_content,
            {name: folder.digest for name, folder in folders.items()},
            {name: folder.options.parent for name, folder in folders.items()},
        )


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
        lock=_lock(root / LOCK),
        base=read_files(root, infrastructure / "base", outside(NOT_BASE)),
        content=read_files(root, infrastructure / "dap" / "content"),
    )


def _lock(path: Path) -> Mapping[str, Locked]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return read_lock(text)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise InputError(f"{parent}: no such directory")
    folders = sorted(path for path in parent.iterdir() if path.is_dir() and any(path.iterdir()))
    for path in folders:
        if path.name in LITTER:
            continue
        if not LABEL.fullmatch(path.name):
            raise InputError(f"{path}: the name must be a DNS label (a-z, 0-9 and -)")
    return [path for path in folders if path.name not in LITTER]


def _service(root: Path, path: Path) -> ServiceFolder:
    where = path.relative_to(root).as_posix()
    if path.name in RESERVED:
        raise InputError(f"{where}: the name is reserved; reserved are {', '.join(RESERVED)}")
    files = read_files(root, path)
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
        content=_content(where, files, top.get("content.py")),
        options=_described(top.get("options.yml"), _OPTIONS),
        leaves=_described(top.get("leaves.yml"), _LEAVES),
    )


def _content(
    where: str, files: Iterable[SourceFile], module: SourceFile | None
) -> tuple[SourceFile, ...]:
    """Return the files of a folder's content: `content.py`, or the package `content/`."""
    package = tuple(file for file in files if file.path.startswith("content/"))
    if module is None:
        return package
    if package:
        raise InputError(f"{where}: has content.py and content/; one of them is needed")
    return (module,)


def _described(file: SourceFile | None, kind: TypeAdapter[dict[str, T]]) -> dict[str, T]:
    """Read a file that describes things by their names, `options.yml` or `leaves.yml`."""
    if file is None:
        return {}
    try:
        return kind.validate_python(yaml.safe_load(file.content))
    except yaml.YAMLError as error:
        raise InputError(f"{file.where}: {yaml_problem(error)}") from error
    except ValidationError as error:
        raise InputError(model_problem(file.where, error)) from error


def _environment(root: Path, path: Path) -> EnvironmentFolder:
    where = path.relative_to(root).as_posix()
    files = {file.path: file for file in read_files(root, path)}
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


def _below(files: Iterable[SourceFile], part: str) -> tuple[SourceFile, ...]:
    start = f"{part}/"
    return tuple(
        SourceFile(file.path.removeprefix(start), file.where, file.content, file.executable)
        for file in files
        if file.path.startswith(start)
    )
