"""Runs a command as part of a check."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from acceptance.findings import CheckError

TIMEOUT_S = 120
LAST_LINES = 5


def run(
    *command: str,
    stdin: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    remedy: str = "make deploy",
) -> str:
    """Run a command; return what it prints.

    Args:
        command: program and arguments; no secrets.
        stdin: what it reads.
        cwd: where it runs.
        environment: variables beside those of this process.
        remedy: what to do if it fails.

    Raises:
        CheckError: it failed or took longer than TIMEOUT_S.
    """
    shown = " ".join(command)[:200]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"`{shown}` does not end within {TIMEOUT_S} s", remedy) from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = " / ".join(lines[-LAST_LINES:])
        raise CheckError(f"`{shown}` ends with {done.returncode}: {said}", remedy)
    return done.stdout
