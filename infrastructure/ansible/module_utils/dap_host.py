"""What the modules share: running commands, and the Docker client seen from a host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

# Docker's client must not read a person's configuration: a deploy looks the same for everybody.
CLIENT_ENVIRONMENT = {"DOCKER_CLI_HINTS": "false", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
# How packages are installed where nobody answers questions.
APT = [
    "apt-get",
    "-q",
    "-y",
    "-o",
    "DPkg::Lock::Timeout=300",
    "-o",
    "Dpkg::Options::=--force-confold",
]
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
OWNER = "owner"
MAY_STOP = "dap.may-stop"  # label: with exit status 0 the container is stopped as somebody wanted


class CommandError(Exception):
    """A command failed; the message holds the command and the end of its error output."""


def run(
    argv: list[str],
    *,
    cwd: str | None = None,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
    timeout_s: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return it, whatever its exit status.

    Raises CommandError when the program is missing or takes longer than `timeout_s` seconds.
    """
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            input=stdin if stdin is not None else "",
            env={**os.environ, **CLIENT_ENVIRONMENT, **(env or {})},
            text=True,
            errors="replace",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(argv[:3])} took longer than {timeout_s:.0f} s") from error


def output(argv: list[str], **options: Any) -> str:
    """Run a command and return its standard output; raises CommandError unless it exits with 0."""
    done = run(argv, **options)
    if done.returncode:
        raise CommandError(f"{' '.join(argv[:4])}: {tail(done.stderr or done.stdout)}")
    return done.stdout


def tail(text: str, lines: int = 15) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.strip().splitlines()[-lines:])


def json_lines(text: str) -> list[dict[str, Any]]:
    """Read objects that stand one a line or in one list (Compose has printed both)."""
    text = text.strip()
    if text.startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def compose(directory: str, *arguments: str, file: str | None = None) -> list[str]:
    """Return the command line of `docker compose` for the tree in a directory."""
    return [
        "docker", "compose", "--project-directory", directory,
        "--file", file or str(Path(directory, "compose.yml")), *arguments,
    ]  # fmt: skip


def rests(state: str, exit_status: int, may_stop: bool) -> bool:
    """Tell whether a container is stopped because that was wanted: a deploy leaves it so."""
    return may_stop and state == "exited" and exit_status == 0


def owner_of(directory: str) -> str:
    """Return the label of the vault that the tree in `directory` was made with; empty if none."""
    try:
        return Path(directory, OWNER).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write_atomically(path: Path, content: bytes, mode: int, owner: int | None = None) -> None:
    """Put a file in place so that a reader sees the old or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.dap-new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    if owner is not None:
        os.chown(temporary, owner, owner)
    os.chmod(temporary, mode)
    os.replace(temporary, path)
