"""Runs a command as part of a check."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from acceptance.findings import CheckError

TIMEOUT_S = 120
LAST_LINES = 5
SHOWN = 200  # characters


def run(
    *command: str,
    stdin: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
    remedy: str = "make deploy",
) -> str:
    """Run a command; return what it prints.

    Args:
        command: program and arguments; no secrets.
        stdin: what it reads.
        cwd: where it runs.
        environment: variables beside those of this process; None: it does not get this one.
        remedy: what to do if it fails.

    Raises:
        CheckError: it failed or took longer than TIMEOUT_S.
    """
    done = do(*command, stdin=stdin, cwd=cwd, environment=environment)
    if done.returncode:
        raise CheckError(said(command, done), remedy)
    return done.stdout.decode(errors="replace")


def do(
    *command: str,
    stdin: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
    shown_as: Sequence[str] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a command; its exit status is the caller's.

    Args:
        command: program and arguments; no secrets.
        stdin: what it reads.
        cwd: where it runs.
        environment: variables beside those of this process; None: it does not get this one.
        shown_as: what a message says of it; empty: as it is.

    Raises:
        CheckError: it took longer than TIMEOUT_S.
    """
    variables = {**os.environ, **(environment or {})}
    try:
        return subprocess.run(
            command,
            input=stdin.encode(),
            cwd=cwd,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        what = f"{shown(shown_as or command)} does not end within {TIMEOUT_S} s"
        raise CheckError(what, "make doctor") from None


def shown(command: Sequence[str]) -> str:
    """Return a command as a message shows it."""
    return f"`{' '.join(command)[:SHOWN]}`"


def said(command: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> str:
    """Return how a command ended, with its last words."""
    told = (done.stderr or done.stdout).decode(errors="replace")
    lines = [line for line in told.splitlines() if line.strip()]
    last = " / ".join(lines[-LAST_LINES:])
    return f"{shown(command)} ends with {done.returncode}: {last}"
