"""What the tests of environments share."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

LABEL = "dap.test=environment"
PASSWORD = "correct-horse-1"
CLIENT: dict[str, dict[str, str]] = {
    "environment": {"PGHOST": "postgres.example", "QUOTED": """a 'b' "c" $d \\e"""},
    "files": {"PGPASSFILE": "postgres.example:5432:*:me:secret\n", "NETRC": "machine m login l\n"},
}


def lineage(environments: Path, name: str) -> list[str]:
    """Return what an environment starts from, the first first, and itself.

    Raises:
        FileNotFoundError: there is no such environment.
    """
    found = [name]
    while True:
        described = environments / found[0] / "environment.yml"
        parent = str(yaml.safe_load(described.read_text(encoding="utf-8")).get("parent", "base"))
        if parent in found:  # base, whose parent is no environment
            return found
        found.insert(0, parent)


def run(*command: str, stdin: bytes = b"") -> str:
    """Run a command; return what it prints."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode()


@dataclass(frozen=True)
class Workspace:
    """A running workspace; `ssh` are the options that every SSH client needs to reach it."""

    container: str
    port: str
    options: tuple[str, ...]

    def ssh(self, *command: str) -> str:
        """Run a command by SSH; return what it prints."""
        return run("ssh", *self.options, "-p", self.port, "analyst@127.0.0.1", *command)

    def execute(self, *command: str) -> str:
        """Run a command with `docker exec`; return what it prints."""
        return run("docker", "exec", self.container, *command)


def wait(succeeds: Callable[[], object], timeout_s: float = 90) -> None:
    """Wait until a check stops failing."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            succeeds()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def archive(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o400, 1000, 1000
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()
