"""Files that images are made of: which ones count, and the digest over them.

Standard library alone: a pipeline reads the same folders with the Python of its image.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dap.errors import InputError

LITTER = {"__pycache__", ".DS_Store", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
NOT_BASE = {"README.md"}
NOT_ENVIRONMENT = {"environment.yml", "README.md", "tests"}


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


def read_files(
    root: Path, folder: Path, skip: Callable[[str], bool] = lambda _: False
) -> tuple[SourceFile, ...]:
    """Return the files below `folder` in the order of their paths, less litter and what to `skip`.

    Raises:
        InputError: something there is neither a file nor a directory.
    """
    found = []
    for parent, directories, names in os.walk(folder, followlinks=True):
        directories[:] = sorted(name for name in directories if name not in LITTER)
        for name in names:
            file = Path(parent, name)
            path = file.relative_to(folder).as_posix()
            if name in LITTER or name.endswith(".pyc") or skip(path):
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


def outside(left_out: Iterable[str]) -> Callable[[str], bool]:
    """Return what says of a path that it lies in one of these files and folders."""
    parts = frozenset(left_out)
    return lambda path: path.split("/", 1)[0] in parts


def digest_of_files(files: Iterable[SourceFile]) -> str:
    """Return the SHA-256 (hex) over paths, executable bits and contents, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        head = f"{file.path}\0{int(file.executable)}\0{len(file.content)}\0"
        digest.update(head.encode())
        digest.update(file.content)
    return digest.hexdigest()
