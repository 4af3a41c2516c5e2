"""One deploy at a time, and whose."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from dap.engine.lock import hold
from dap.errors import DapError

from tests.paths import ROOT


def _hold(path: Path, held: Event, release: Event) -> None:
    with hold(path, print):
        held.set()
        release.wait(60)


def _leave_behind(path: Path, held: Event, release: Event) -> None:
    """Hold the lock, hand it to a child and die as if killed."""
    with hold(path, print):
        if os.fork():
            held.set()
            os._exit(9)
        release.wait(60)
        os._exit(0)


@pytest.fixture
def context() -> multiprocessing.context.SpawnContext:
    return multiprocessing.get_context("spawn")


def test_second_is_refused_and_told_the_holder(
    tmp_path: Path, context: multiprocessing.context.SpawnContext
) -> None:
    path, held, release = tmp_path / "lock", context.Event(), context.Event()
    first = context.Process(target=_hold, args=(path, held, release))
    first.start()
    try:
        assert held.wait(60)
        with pytest.raises(DapError, match=f"process {first.pid}, since 2"), hold(path, print):
            pass
    finally:
        release.set()
        first.join()
    with hold(path, print):  # free again
        pass


@pytest.mark.parametrize("reaped", [True, False])
def test_waits_for_what_a_killed_deploy_left(
    tmp_path: Path, context: multiprocessing.context.SpawnContext, *, reaped: bool
) -> None:
    path, held, release = tmp_path / "lock", context.Event(), context.Event()
    killed = context.Process(target=_leave_behind, args=(path, held, release))
    killed.start()
    assert held.wait(60)
    assert killed.pid
    # Its parent, too, may have been killed: who inherits it lets it stand for a while.
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        killed.join()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        release.set()

    with hold(path, tell):
        assert told == ["waiting for the end of a deploy that was killed"]


IDLE = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from dap.engine.lock import hold
import os, signal
with hold(Path(sys.argv[1]), print) as lock:
    if not os.fork():
        os.set_inheritable(lock, True)
        idle = "import signal; print(flush=True); signal.pause()"
        works = "import subprocess as s; p = s.Popen(['sleep', '3']); print(flush=True); p.wait()"
        program = works if sys.argv[3] else idle
        os.execv(sys.executable, ["ansible-playbook", "-c", program])
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("work", ["", "works"])
def test_what_a_killed_deploy_left_is_ended_unless_it_is_at_work(tmp_path: Path, work: str) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", IDLE, str(path), str(ROOT / "infrastructure"), work]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"\n"  # the child says that it is there
    began = time.monotonic()
    with hold(path, lambda _: None):
        took = time.monotonic() - began
    # What works is waited for; what has nothing to do would stay for ever.
    assert (took > 1) is bool(work)
