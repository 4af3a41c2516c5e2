"""Commands of the project's folder that a test judges itself."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.project import clean_environment
from tests.demo.conftest import Platform
from tests.programs import printed

Done = subprocess.CompletedProcess[str]
Make = Callable[..., Done]


@pytest.fixture(scope="session")
def make(platform: Platform) -> Make:
    """Run a target of the project's Makefile; its output, of both kinds, is in `stdout`."""

    def run(target: str, *variables: str) -> Done:
        return subprocess.run(
            ["make", "--no-print-directory", target, *variables],
            cwd=platform.project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=clean_environment(),
        )

    return run


@pytest.fixture(scope="session")
def git(platform: Platform) -> Callable[..., str]:
    """Run git in a folder with the demo's key; what it printed."""
    environment = {
        "GIT_SSH_COMMAND": shlex.join(["ssh", *platform.project.ssh_options]),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    def run(folder: Path, *arguments: str) -> str:
        command = ("git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments)
        return printed(folder, *command, **environment)

    return run


def reproduced(platform: Platform, run: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """Reproduce a run: exit status, what was printed for scripts, what was said."""
    done = platform.dap("reproduce", run, "--json", *options)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr
