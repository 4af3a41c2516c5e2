"""Programs that tests run in a folder as a user does."""

import subprocess
from pathlib import Path

from demo.project import clean_environment


def tried(
    folder: Path, *command: str, given: str = "", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; its status is the caller's.

    Args:
        folder: where it runs.
        command: program and arguments.
        given: what it reads.
        environment: variables beside those of this process.
    """
    return subprocess.run(
        command,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment() | environment,
    )


def printed(folder: Path, *command: str, **environment: str) -> str:
    """Run a program to its end; all that it printed, of both kinds.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=clean_environment() | environment,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def start_deploy(project: Path) -> "subprocess.Popen[bytes]":
    """Start `make deploy` in a process group of its own."""
    return subprocess.Popen(
        ["make", "--no-print-directory", "deploy"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        start_new_session=True,
    )


def author(domain: str) -> dict[str, str]:
    """Return the variables by which git knows who commits."""
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Test"), ("EMAIL", f"test@{domain}"))
    }
