"""One deploy of a project at a time: a lock that names its holder."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from dap.errors import InputError

# What a killed deploy left running ends soon: its output goes nowhere.
_GRACE_S = 120.0
_INTERVAL_S = 0.2
BUSY = "another deploy is at work: "


@contextmanager
def hold(path: Path, tell: Callable[[str], None], busy: str = BUSY) -> Iterator[int]:
    """Hold the lock at `path`; yields its descriptor, which processes that work for us inherit.

    Where the holder was killed, waits until what it left running has ended. `busy` begins the
    message that somebody else holds it.

    Raises:
        InputError: somebody else holds it; the message says who, where and since when.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, tell, busy)
        file.seek(0)
        file.truncate()
        json.dump(_me(), file)
        file.flush()
        yield file.fileno()
        file.truncate(0)


def _take(file: IO[str], tell: Callable[[str], None], busy: str) -> None:
    end = time.monotonic() + _GRACE_S
    told = False
    while not _locked(file):
        file.seek(0)
        holder = _holder(file.read())
        gone = holder.get("host") == socket.gethostname() and not _alive(int(holder["pid"]))
        if not gone or time.monotonic() > end:
            raise InputError(
                f"{busy}{holder.get('who', 'unknown')} on "
                f"{holder.get('host', 'unknown')}, process {holder.get('pid', 'unknown')}, "
                f"since {holder.get('since', 'unknown')}",
                "wait until it has ended",
            )
        if not told:
            tell("waiting for the end of a deploy that was killed")
            told = True
        _end_idle(Path(file.name))
        time.sleep(_INTERVAL_S)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_idle(lock: Path) -> None:
    """End processes of a killed deploy that do nothing on a host any more.

    With several hosts they wait for ever: nobody reads what they answer, and each keeps the pipe
    for it open to the others. One that is at work on a host has a child that does it.
    """
    processes = [int(each.name) for each in Path("/proc").glob("[0-9]*")]
    parents = {_stat(pid)[1] for pid in processes}
    for pid in processes:
        if pid not in parents and _is_left(pid, lock):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_left(pid: int, lock: Path) -> bool:
    place = Path("/proc", str(pid))
    try:
        if b"ansible-playbook" not in (place / "cmdline").read_bytes():
            return False
        return any(each.readlink() == lock.resolve() for each in (place / "fd").iterdir())
    except OSError:  # it has ended, or is somebody else's
        return False


def _stat(pid: int) -> tuple[str, int]:
    """Return state and parent of a process; of one that has ended, dead and none."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


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
    if not Path("/proc/self").exists():
        return True
    return _stat(pid)[0] not in {"Z", "X"}
