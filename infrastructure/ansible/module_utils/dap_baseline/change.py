"""A difference between a host and what it should be, and how it is put right."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.dap_host import write_atomically


@dataclass(frozen=True)
class Change:
    """What is done, in words, and what does it.

    Attributes:
        what: as a person reads it.
        do: makes the change; raises CommandError or OSError.
        diffs: path → unified diff of a file.
        files: files that are restored if the change is taken back.
        undo: shell commands that take the rest of it back, run after the files are restored.
    """

    what: str
    do: Callable[[], None]
    diffs: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    undo: tuple[str, ...] = ()


def text_of(path: Path) -> str | None:
    """Return what a file holds, None if it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def difference(path: Path, before: str | None, after: str | None) -> dict[str, str]:
    """Return the unified diff of a file by its path."""
    lines = difflib.unified_diff(
        (before or "").splitlines(),
        (after or "").splitlines(),
        f"a{path}",
        f"b{path}",
        lineterm="",
        n=2,
    )
    return {str(path): "\n".join(lines)}


def remove(path: Path) -> None:
    """Remove a file, and its folder if that is empty then and named for the platform."""
    path.unlink(missing_ok=True)
    if path.parent.name == "dap" and not any(path.parent.iterdir()):
        path.parent.rmdir()


def file(
    path: Path, wanted: str | None, *, mode: int = 0o644, guarded: bool = False
) -> Iterator[Change]:
    """Yield the change that gives a file its content; None: it is removed."""
    before = text_of(path)
    if before == wanted and (wanted is None or path.stat().st_mode & 0o777 == mode):
        return

    def do() -> None:
        if wanted is None:
            remove(path)
        else:
            write_atomically(path, wanted.encode(), mode, 0)

    verb = "remove" if wanted is None else "add" if before is None else "change"
    files = (path,) if guarded else ()
    yield Change(f"{verb} {path}", do, difference(path, before, wanted), files)


def permissions(path: Path, mode: int, *, guarded: bool = False) -> Iterator[Change]:
    """Yield the change that gives a file its permissions."""
    if path.exists() and path.stat().st_mode & 0o7777 != mode:
        files = (path,) if guarded else ()
        yield Change(f"set mode {mode:o} of {path}", lambda: os.chmod(path, mode), files=files)
