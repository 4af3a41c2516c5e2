"""A repository that checks push to a forge."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from acceptance.commands import run

ACCOUNT = "dap.verify"
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", ACCOUNT), ("EMAIL", f"{ACCOUNT}@localhost"))
}
# What this machine's user has git do is not what is checked: neither by files nor by variables.
ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


class Repository:
    """A repository of one commit, and the branch of its own that it is pushed to."""

    def __init__(
        self,
        place: Path,
        remote: str,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Say where it is.

        Args:
            place: directory that it is made in.
            remote: URL of the forge's repository.
            options: settings of git, as KEY=VALUE; no secrets.
            environment: variables of git's.
        """
        self.branch = f"{ACCOUNT}/{uuid.uuid4().hex[:12]}"
        self._pushed = False
        self._place = place / "repository"
        self._remote = remote
        self._git = ["git", *(word for option in options for word in ("-c", option))]
        self._environment = {
            **{name: None for name in os.environ if _of_person(name)},
            **ALONE,
            **AUTHOR,
            "GIT_TERMINAL_PROMPT": "0",
            **(environment or {}),
        }

    def commit(self, files: Mapping[str, str]) -> str:
        """Make the commit of these files, all executable; return its hash."""
        self._place.mkdir()
        self._run("init", "--quiet")
        for name, text in files.items():
            (self._place / name).write_text(text, encoding="utf-8")
            (self._place / name).chmod(0o755)
        self._run("add", "--all")
        self._run("commit", "--quiet", "--message", f"{self.branch}: gone after `make verify`")
        return self._run("rev-parse", "HEAD").strip()

    def push(self) -> str:
        """Push the commit; return what the forge says, raise CheckError where it refuses."""
        said = self._run("push", self._remote, f"HEAD:refs/heads/{self.branch}")
        self._pushed = True
        return said

    def delete(self) -> None:
        """Delete the branch, where it was pushed."""
        if self._pushed:
            self._run("push", self._remote, f":refs/heads/{self.branch}")

    def _run(self, *words: str) -> str:
        git = [*self._git, "-C", str(self._place), *words]
        return run("sh", "-c", 'exec "$@" 2>&1', "-", *git, environment=self._environment)


def _of_person(variable: str) -> bool:
    """Tell whether a variable has git do what a person wants: it comes before git's options.

    With GIT_SSL_CAINFO another CA would be trusted than the platform's, with GIT_DIR the commit
    would be made elsewhere, and a proxy does not know the platform's names.
    """
    return variable.startswith("GIT_") or variable.lower().endswith("_proxy")
