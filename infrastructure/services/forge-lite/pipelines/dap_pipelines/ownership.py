"""Takes over trees that a pipeline's own user id made.

The worker is root without the capability to read what others own, only to change owners; so what a
pipeline made is read by its own user while it runs, and taken over once its processes are gone.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path


def take(path: Path, mode: int = 0o700) -> None:
    """Make a directory tree ours, directories with `mode`; links are not followed."""
    os.lchown(path, 0, 0)
    if not stat.S_ISDIR(path.lstat().st_mode):
        return
    path.chmod(mode)
    with os.scandir(path) as entries:
        for entry in entries:
            take(Path(entry.path), mode)


def remove(path: Path) -> None:
    """Delete a tree that someone else owns, if it is there."""
    if path.is_symlink() or path.exists():
        take(path)
        shutil.rmtree(path)


def as_user(uid: int, command: list[str]) -> str:
    """Return what a command prints that runs under a pipeline's user id, without privileges."""
    return subprocess.run(
        command,
        user=uid,
        group=uid,
        extra_groups=[],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    ).stdout


def kill_all(uid: int) -> None:
    """Kill every process of a user id."""
    as_user(uid, ["/bin/sh", "-c", "kill -9 -1"])
