"""Runs commands of a build: their output goes to the job's log as it comes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def stream(command: Sequence[str], cwd: Path | None = None) -> tuple[int, str]:
    """Run a command, showing what it prints; return its exit status and the last line of errors."""
    last = ""
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101  PIPE was asked for
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith("Error: ") or (line.strip() and not last.startswith("Error: ")):
                last = line.strip()
    return process.returncode, last.removeprefix("Error: ")


def output(
    *command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command; what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; carries what it said.
    """
    return subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    ).stdout
