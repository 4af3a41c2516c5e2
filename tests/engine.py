"""This machine's Docker engine, which a test of one worker restarts while another uses it."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from demo.access import await_result
from tests.paths import ROOT

# On a new machine the demo's first deploy installs it, beside the tests that wait for it.
INSTALLED_S = 900


@contextmanager
def in_use() -> Iterator[None]:
    """Wait for the engine, and have it run on for the while."""
    with _locked(fcntl.LOCK_SH):
        await_result("a Docker engine (`make demo` installs one)", _answers, INSTALLED_S)
        yield


@contextmanager
def to_oneself() -> Iterator[None]:
    """Wait until nobody relies on the engine."""
    with _locked(fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(how: int) -> Iterator[None]:
    path = ROOT / "build" / "engine.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, how)
        yield


def _answers() -> bool | None:
    if shutil.which("docker") is None:
        return None
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return True if asked.returncode == 0 else None
