"""The rendered tree of a host: plain files, and writing them to a directory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dap.errors import InputError


@dataclass(frozen=True)
class File:
    """A file of the tree; `uid` is its owner and group on the host."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    secret: bool = False


@dataclass(frozen=True)
class Tree:
    """All files of a host, sorted by path; `directory` is where they belong on it."""

    host: str
    directory: str
    files: tuple[File, ...]

    def write(self, directory: Path, *, secrets: bool) -> None:
        """Write the files to `directory`, in place of an earlier tree; owner: who runs this.

        Secret files are left out unless `secrets`.

        Raises:
            InputError: the directory holds something that is no rendered tree.
        """
        if directory.exists() and any(directory.iterdir()):
            if not (directory / "plan.json").is_file():
                raise InputError(
                    f"{directory}: is not empty and no rendered tree", "give another directory"
                )
            shutil.rmtree(directory)
        for file in self.files:
            if file.secret and not secrets:
                continue
            path = directory / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.secret:
                (directory / "secrets").chmod(0o700)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(file.content)
                os.fchmod(stream.fileno(), file.mode)
