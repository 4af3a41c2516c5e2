"""Writes what file systems run full to a file as JSON, and says it in the journal.

Run by a timer of systemd with the system's Python alone: `watch-disks.py FILE`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOUNTS = Path("/proc/self/mounts")
KINDS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "zfs", "vfat", "bcachefs"}
# Share that is free, of space or of files to come.
WARNING, PROBLEM = 0.10, 0.05


def mounts(text: str) -> Iterator[str]:
    """Yield where file systems with data are mounted, each file system once."""
    seen = set()
    for line in text.splitlines():
        source, place, kind, options, *_ = line.split()
        if (kind in KINDS or (kind == "overlay" and place == "/")) and "ro" not in options.split(
            ","
        ):
            place = place.encode().decode("unicode_escape")
            if source not in seen or kind == "overlay":
                seen.add(source)
                yield place


def judged(place: str, told: os.statvfs_result) -> dict[str, Any] | None:
    """Return what is wrong with a file system, None if it has room."""
    used = told.f_blocks - told.f_bfree
    space = told.f_bavail / max(1, told.f_bavail + used)
    files = told.f_favail / told.f_files if told.f_files else 1.0
    left = min(space, files)
    if left >= WARNING:
        return None
    if space <= files:
        what = f"{told.f_bavail * told.f_frsize / 2**30:.1f} GiB ({space:.0%}) free on {place}"
    else:
        what = f"room for {told.f_favail} more files ({files:.0%}) on {place}"
    return {
        "level": "problem" if left < PROBLEM else "warning",
        "where": "disk",
        "what": what,
        "remedy": "free or add disk space",
        "place": place,
    }


def look() -> list[dict[str, Any]]:
    """Return what is wrong with the file systems of this host."""
    found = []
    for place in mounts(MOUNTS.read_text(encoding="utf-8", errors="replace")):
        try:
            judgement = judged(place, os.statvfs(place))
        except OSError:
            continue  # unmounted meanwhile
        if judgement:
            found.append(judgement)
    return found


def main(file: Path) -> None:
    """Write the findings; each that is new is said, too."""
    found = look()
    try:
        before = {each["place"]: each["level"] for each in json.loads(file.read_text())["findings"]}
    except (OSError, ValueError, KeyError):
        before = {}
    for each in found:
        if before.get(each["place"]) != each["level"]:
            # systemd reads the severity of a line from its beginning.
            print(f"<{3 if each['level'] == 'problem' else 4}>{each['what']}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(json.dumps({"time": int(time.time()), "findings": found}), encoding="utf-8")
    new.chmod(0o644)
    new.replace(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
