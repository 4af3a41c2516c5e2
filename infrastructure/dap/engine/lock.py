"""One deploy of a project at a time: a lock that names its holder."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from dap.errors import InputError

# What a killed deploy left running ends soon: its output goes nowhere.
_GRACE_S = 120.0
_INTERVAL_S = 0.2


@contextmanager
def hold(path: Path, tell: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock at `path`; yields its descriptor, which processes that work for us inherit.

    Where the holder was killed, waits until what it left running has ended.

    Raises:
        InputError: somebody else holds it; the message says who, where and since when.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, tell)
        file.seek(0)
        file.truncate()
        json.dump(_me(), file)
        file.flush()
        yield file.fileno()
        file.truncate(0)


def _take(file: IO[str], tell: Callable[[str], None]) -> None:
    end = time.monotonic() + _GRACE_S
    told = False
    while not _locked(file):
        file.seek(0)
        holder = _holder(file.read())
        gone = holder.get("host") == socket.gethostname() and not _alive(int(holder["pid"]))
        if not gone or time.monotonic() > end:
            raise InputError(
                f"another deploy is at work: {holder.get('who', 'unknown')} on "
                f"{holder.get('host', 'unknown')}, process {holder.get('pid', 'unknown')}, "
                f"since {holder.get('since', 'unknown')}",
                "wait until it has ended",
            )
        if not told:
            tell("waiting for the end of a deploy that was killed")
            told = True
        time.sleep(_INTERVAL_S)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _me() -> dict[str, str]:
    return {
        "who": getpass.getuser(),
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _holder(text: str) -> dict[str, str]:
    try:
        return dict(json.loads(text))
    except ValueError:  # it has the lock, but has not written its name yet
        return {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # A killed process stands in the list until its parent has asked for its end; that may be never.
    processes = Path("/proc")
    try:
        stat = (processes / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return not (processes / "self").exists()  # a system without /proc
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
