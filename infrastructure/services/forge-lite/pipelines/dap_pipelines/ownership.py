"""Takes over trees that a pipeline's own user id made.

The worker is root without the capability to read what others own, only to change owners; so what a
pipeline made is read by its own user while it runs, and taken over once its processes are gone.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

SHARED = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108  what others leave there is deleted


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
    """Delete a tree or file that someone else owns, if it is there; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        take(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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


def end_user(uid: int, shared: Iterable[Path] = SHARED) -> None:
    """Kill every process of a user id, then delete what it left where everybody may write.

    gitlab-ci-local leaves the files of its variables there, secrets among them, and the next
    pipeline of this user id may be another project's.
    """
    kill_all(uid)
    for folder in shared:
        for path in folder.iterdir():
            if path.lstat().st_uid == uid:
                remove(path)
