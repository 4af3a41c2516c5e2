"""What the fault tests saw: kept in build/reliability.json, shown in doc/reliability.md."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from tests.paths import ROOT

FILE = ROOT / "build" / "reliability.json"
FULL = os.environ.get("DAP_FAULTS") == "full"


def count(short: int, full: int) -> int:
    """How often a fault is made: in the tests of every day, or with DAP_FAULTS=full."""
    return full if FULL else short


def keep(row: int, fault: str, expected: str, **seen: object) -> None:
    """Keep what was seen of a fault; an earlier record of the same one gives way.

    Args:
        row: its number in the list of faults.
        fault: what was done.
        expected: what has to happen.
        seen: figures by name; times in seconds.
    """
    entry = {"row": row, "fault": fault, "expected": expected, "seen": seen, "full": FULL}
    entry["day"] = time.strftime("%Y-%m-%d")
    FILE.parent.mkdir(exist_ok=True)
    # Tests of one platform and of several hosts run beside each other.
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = [e for e in load(FILE) if (e["row"], e["fault"]) != (row, fault)]
        entries = sorted([*entries, entry], key=lambda e: (e["row"], e["fault"]))
        FILE.write_text(json.dumps(entries, indent=1) + "\n")
    print(f"row {row}: {fault}: {seen}")


def load(file: Path) -> list[dict[str, Any]]:
    """Read what was kept; nothing if there is no file."""
    entries: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    return entries
