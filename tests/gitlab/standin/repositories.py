"""Repositories on disk, and git over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

GIT_PATH = re.compile(r"/(?P<project>[^/]+/[^/]+?)(?:\.git)?/(?P<rest>info/refs|git-[a-z]+-pack)")
HIDDEN = ("environments", "keep-around", "merge-requests", "pipelines")
HOOKS = ("pre-receive", "post-receive")


@dataclass(frozen=True)
class Repositories:
    """The folder of all repositories; git runs as the account that has them.

    Attributes:
        folder: has GROUP/PROJECT.git.
        shell: program that is run for hooks, as `SHELL HOOK`.
        account: number of the user that owns them; none: who this process is.
    """

    folder: Path
    shell: Path
    account: int | None = None

    def at(self, project: str) -> Path:
        """Return the repository of a project; one that is not there yet is made, empty."""
        path = self.folder / f"{project}.git"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.account is not None:
                os.chown(path.parent, self.account, self.account)
            self.git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
            # As GitLab has it: with options of pushes, and with places that it fills by itself.
            self.git("-C", str(path), "config", "receive.advertisePushOptions", "true")
            for name in HIDDEN:
                self.git("-C", str(path), "config", "--add", "receive.hideRefs", f"refs/{name}")
            for hook in HOOKS:
                script = path / "hooks" / hook
                script.write_text(f'#!/bin/sh\nexec {self.shell} {hook} "$@"\n')
                script.chmod(0o755)
        return path

    def git(self, *words: str, given: bytes = b"") -> bytes:
        """Run git, with `given` as its input; return what it prints.

        Raises:
            subprocess.CalledProcessError: it fails.
        """
        return subprocess.run(
            ["git", *words],
            check=True,
            capture_output=True,
            input=given,
            env=_environment(),
            user=self.account,
            group=self.account,
        ).stdout

    def serve(self, project: str, who: str, request: dict[str, str], body: bytes) -> bytes:
        """Return git's own answer to a request over HTTP, head and body as CGI has them.

        `request` has CGI's variables that say what is asked for.
        """
        self.at(project)
        environment = {
            **_environment(),
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": who,
            "GL_ID": who,
            "GL_PROJECT": project,
            **request,
        }
        return subprocess.run(
            ["git", "http-backend"],
            check=True,
            capture_output=True,
            input=body,
            env=environment,
            user=self.account,
            group=self.account,
        ).stdout


def _environment() -> dict[str, str]:
    given = ("PATH", "LANG")
    kept = {name: os.environ[name] for name in given if name in os.environ}
    return {**kept, "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
