"""The repository as the forge has it: earlier locks, and the commit of a new one."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dap.environments.commands import output
from dap.environments.content import base_content, contents, read_folders
from dap.environments.lock import PATH, Locked, read_lock, write_lock
from dap.errors import DapError, InputError
from dap.files import digest_of_files

ACCOUNT = "dap.lock"
_TRIES = 5
_DEPTH = 50  # commits of the branch that earlier locks are looked for in


class Repository:
    """A clone of the branch, to look at its past and to push one commit to it."""

    def __init__(self, place: Path, branch: str, environment: Mapping[str, str]) -> None:
        self.place = place
        self._branch = branch
        self._environment = environment

    def git(self, *words: str) -> str:
        """Run git; what it printed.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return output("git", *words, cwd=self.place, environment=self._environment)

    def lock(self) -> dict[str, Locked]:
        """Return the lock at the branch's end; empty without one."""
        path = self.place / PATH
        return read_lock(path.read_text(encoding="utf-8")) if path.exists() else {}

    def earlier(self) -> dict[tuple[str, str], str]:
        """Return the images that earlier locks of the branch held, by environment and content."""
        found: dict[tuple[str, str], str] = {}
        for commit in self.git("log", "--format=%H", "--", PATH).split():
            try:
                entries = read_lock(self.git("show", f"{commit}:{PATH}"))
            except (subprocess.CalledProcessError, InputError):
                continue  # deleted, or mended since
            for name, entry in entries.items():
                found.setdefault((name, entry.content), entry.image)
        return found

    def lock_images(self, images: Mapping[str, Locked | None], message: str) -> str:
        """Commit and push new entries (None: without one); return the commit, empty if none is due.

        Where the branch moved on meanwhile, what no longer fits it stays as it is: the later push
        has a pipeline of its own.

        Raises:
            DapError: the forge refuses.
        """
        for _ in range(_TRIES):
            current = _contents(self.place)
            lock = self.lock()
            for name, entry in images.items():
                if entry is None:
                    lock.pop(name, None)
                elif current.get(name) == entry.content:
                    lock[name] = entry
            text = write_lock(lock)
            path = self.place / PATH
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return ""
            path.write_text(text, encoding="utf-8")
            self.git("add", PATH)
            self.git("commit", "--quiet", "--message", message)
            try:
                self.git("push", "--quiet", "origin", f"HEAD:{self._branch}")
            except subprocess.CalledProcessError as error:
                reason = str(error.stderr).strip()
                self.git("fetch", "--quiet", f"--depth={_DEPTH}", "origin", self._branch)
                if self.git("rev-parse", "HEAD^") == self.git("rev-parse", "FETCH_HEAD"):
                    raise DapError(f"{PATH}: the forge refuses the commit: {reason}") from error
                self.git("reset", "--quiet", "--hard", "FETCH_HEAD")
                continue
            return self.git("rev-parse", "HEAD").strip()
        raise DapError(f"{PATH}: not committed: the branch moved {_TRIES} times meanwhile")


def _contents(root: Path) -> dict[str, str]:
    folders = read_folders(root)
    digests = {name: digest_of_files(folder.context) for name, folder in folders.items()}
    parents = {name: folder.parent for name, folder in folders.items()}
    return contents(base_content(root), digests, parents)


@contextmanager
def cloned(url: str, branch: str) -> Iterator[Repository]:
    """Give a clone of the branch; $DAP_LOCK_KEY, if set, is the key that logs in to the forge.

    Raises:
        DapError: it can't be cloned.
    """
    with TemporaryDirectory() as place:
        environment = {
            **os.environ,
            **{f"GIT_{who}_NAME": ACCOUNT for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": f"{ACCOUNT}@localhost" for who in ("AUTHOR", "COMMITTER")},
        }
        if "DAP_LOCK_KEY" in os.environ:
            environment["GIT_SSH_COMMAND"] = _ssh(Path(place, "key"))
        target = Path(place, "repository")
        clone = ["git", "clone", "--quiet", f"--depth={_DEPTH}", "--branch", branch, url]
        try:
            output(*clone, str(target), environment=environment)
        except subprocess.CalledProcessError as error:
            raise DapError(f"{url}: not cloned: {str(error.stderr).strip()}") from error
        yield Repository(target, branch, environment)


def _ssh(key: Path) -> str:
    # ssh refuses a key that others may read, as a job's files are.
    key.touch(mode=0o600)
    key.write_bytes(Path(os.environ["DAP_LOCK_KEY"]).read_bytes())
    options = {
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "UserKnownHostsFile": os.environ["DAP_LOCK_KNOWN_HOSTS"],
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "10",
    }
    return shlex.join(
        ["ssh", "-F", "none", *(f"-o{name}={each}" for name, each in options.items())]
    )
