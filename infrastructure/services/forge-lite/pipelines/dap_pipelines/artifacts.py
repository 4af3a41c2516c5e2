"""Keeps what jobs leave behind."""

from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path
from typing import Any

from dap_pipelines.ownership import take

LISTED = 2000
REPORTS = ".gitlab-ci-reports"


def folder(name: str) -> str:
    """Return the name that gitlab-ci-local gives the folder of a job's artifacts."""
    return re.sub(
        r"[^A-Za-z0-9_-]+",
        lambda found: base64.urlsafe_b64encode(found[0].encode()).decode().rstrip("="),
        name,
    )


def keep(source: Path, target: Path, most: int) -> tuple[list[dict[str, Any]], str]:
    """Move the artifacts of one job to `target`; return the list of files and what is to be said.

    Links and special files are left out: pages must not lead anywhere else. More than `most` bytes
    are not kept. The processes that could change the files must be gone.
    """
    if source.is_symlink() or not source.is_dir():
        return [], ""
    take(source, 0o755)
    listed: list[dict[str, Any]] = []
    total = 0
    for parent, _, names in os.walk(source):
        for name in names:
            path = Path(parent, name)
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                path.unlink()
                continue
            path.chmod(0o644)
            if REPORTS not in path.parts:
                total += found.st_size
                if len(listed) < LISTED:
                    listed.append({"path": str(path.relative_to(source)), "size": found.st_size})
    if total > most:
        return [], f"artifacts of more than {most // 1024**2} MiB are not kept"
    if listed:
        target.parent.mkdir(exist_ok=True)
        source.rename(target)
    return sorted(listed, key=lambda file: str(file["path"])), ""
