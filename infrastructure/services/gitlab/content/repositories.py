"""Takes over the repositories that an earlier forge left, with what GitLab has going first."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import quote

from dap.content import ContentError, Context

from .server import TOKEN

KIND = "repositories"
# Where GitLab keeps what the earlier forge had when it was taken over, for each branch and tag: so
# one that is deleted here does not come back, and a commit that finds no place is not lost.
MOVED = "refs/dap/moved/"
# `make verify` takes its branches away; GitLab makes the others by itself and refuses ours.
LEFT_OUT = (
    "refs/heads/dap.verify/",
    MOVED,
    *(f"refs/{name}/" for name in ("environments", "keep-around", "merge-requests", "pipelines")),
    *(f"refs/{name}/" for name in ("remotes", "tmp")),
)
HEAD = "HEAD"
# So many at once, for the sake of GitLab's hooks and of the length of a command line.
AT_ONCE = 200
# Of its 512 MiB, packing may take so much.
PACKING = ("pack.threads=1", "pack.windowMemory=64m", "core.bigFileThreshold=16m")
# Half an hour without a byte, and GitLab is taken to be gone.
PATIENCE = ("http.lowSpeedLimit=1", "http.lowSpeedTime=1800")
MOVED_ON = "it has other commits here"
REMOTE = "remote:"
Refs = dict[str, str]


def apply(context: Context, project: Any) -> None:
    """Bring what an earlier forge left of a project: branches, tags and notes with their history.

    What GitLab has is never rewritten: its branches move forward or stay. `project` is GitLab's, as
    python-gitlab has it. Where no such forge was, or all was taken over, nothing is sent.

    Raises:
        ContentError: git failed, or GitLab takes something in no form.
    """
    for place in context.left(KIND):
        repository = place / f"{project.path}.git"
        if repository.is_dir():
            with tempfile.TemporaryDirectory() as scratch:
                Move(context, project, repository, Path(scratch)).run()


def unclaimed(context: Context) -> None:
    """Tell of repositories that no project of the settings stands for; they stay where they are."""
    names = {project["name"] for project in context.projects}
    for place in context.left(KIND):
        for repository in sorted(place.glob("*.git")):
            name = repository.name.removesuffix(".git")
            if name not in names and _refs(_show(repository, "for-each-ref", FORMAT)):
                context.step(f"repository {name} is of no project and stays where it is", False)


class Move:
    """The way of one repository into GitLab."""

    def __init__(self, context: Context, project: Any, repository: Path, scratch: Path) -> None:
        self._context = context
        self._name = project.path
        self._repository = repository
        route = context.routes["git"]
        path = quote(project.path_with_namespace)
        self._url = f"http://{route['service']}:{route['port']}/{path}.git"
        # A file, for command lines are seen by everybody.
        self._credentials = scratch / "credentials"
        self._credentials.touch(mode=0o600)
        self._credentials.write_text(
            f"http://root:{context.secret(TOKEN)}@{route['service']}:{route['port']}\n",
            encoding="utf-8",
        )

    def run(self) -> None:
        """Move what was not moved yet."""
        here = {
            ref: value
            for ref, value in _refs(_show(self._repository, "for-each-ref", FORMAT)).items()
            if not ref.startswith(LEFT_OUT)
        }
        there = self._there()
        new = {ref: value for ref, value in here.items() if there.get(_moved(ref)) != value}
        if not new or self._context.check:
            self._context.step(f"history of {self._name}", bool(new))
            return
        equal = {ref for ref, value in new.items() if there.get(ref) == value}
        refused = self._push(_in_order(self._head(), new.keys() - equal), str, alone=not there)
        # Only now that what it names is there: a run that was cut off before asks again.
        lost = self._push(sorted(new), _moved)
        if lost:
            ref, why = next(iter(lost.items()))
            raise ContentError(
                f"GitLab does not take {ref} of {self._name}: {why}; the repository that the "
                f"earlier forge left is kept, in {self._repository.parent} of this container"
            )
        for ref, why in sorted(refused.items()):
            self._context.step(
                f"{_short(ref)} of {self._name} is left as it is ({why}); what the earlier forge "
                f"had is kept as {_moved(ref)}",
                True,
            )
        moved = len(new) - len(equal) - len(refused)
        if moved or not refused:
            self._context.step(f"history of {self._name}: {moved} refs", True)

    def _there(self) -> Refs:
        return _refs(self._git("ls-remote", "--refs", self._url).stdout, "\t")

    def _head(self) -> str:
        return _show(self._repository, "symbolic-ref", "--quiet", HEAD).strip()

    def _push(
        self, refs: Iterable[str], target: Callable[[str], str], *, alone: bool = False
    ) -> Refs:
        """Push each ref to `target` of it; return those that were refused, with the reason.

        `alone`: the first one by itself, for what comes first is GitLab's default branch.
        """
        left = deque(_parts(list(refs), alone=alone))
        refused: Refs = {}
        while left:
            part = left.popleft()
            found = self._push_part(part, target)
            if any(found.get(ref) not in (None, MOVED_ON) for ref in part) and len(part) > 1:
                # One that GitLab does not want has all be refused that come with it.
                half = len(part) // 2
                left.extendleft((part[half:], part[:half]))
            else:
                refused |= found
        return refused

    def _push_part(self, refs: list[str], target: Callable[[str], str]) -> Refs:
        # No pipelines: they ran when these were pushed to the earlier forge.
        words = ["push", "--porcelain", "--no-verify", "--push-option=ci.skip", self._url]
        # The places of our own may move in any way.
        force = "+" if target is _moved else ""
        done = self._git(*words, *(f"{force}{ref}:{target(ref)}" for ref in refs), ok=(0, 1))
        told = dict(_told(done.stdout, done.stderr))
        if missing := [ref for ref in refs if ref not in told]:
            raise ContentError(f"git push of {self._name}: {missing[0]}: {done.stderr.strip()}")
        return {ref: why for ref, why in told.items() if why}

    def _git(self, *words: str, ok: tuple[int, ...] = (0,)) -> CompletedProcess[str]:
        helper = f"credential.helper=store --file={self._credentials}"
        return _git(self._repository, *words, options=("credential.helper=", helper), ok=ok)


FORMAT = "--format=%(objectname) %(refname)"


def _moved(ref: str) -> str:
    return MOVED + ref.removeprefix("refs/")


def _short(ref: str) -> str:
    kind, _, name = ref.removeprefix("refs/").partition("/")
    return {"heads": f"branch {name}", "tags": f"tag {name}"}.get(kind, ref)


def _in_order(head: str, refs: Iterable[str]) -> list[str]:
    """Return the branch that HEAD names first: that is the default one."""
    return sorted(refs, key=lambda ref: (ref != head, not ref.startswith("refs/heads/"), ref))


def _refs(listing: str, separator: str = " ") -> Refs:
    found = {}
    for line in listing.splitlines():
        value, _, ref = line.partition(separator)
        found[ref] = value
    return found


def _parts(refs: list[str], *, alone: bool) -> Iterable[list[str]]:
    start = 1 if alone and refs else 0
    yield from ([refs[:1]] if start else [])
    for number in range(start, len(refs), AT_ONCE):
        yield refs[number : number + AT_ONCE]


def _told(output: str, said: str) -> Iterable[tuple[str, str]]:
    """Yield each ref of `git push --porcelain` with why it was refused, empty where it was not.

    `said` is what GitLab and git said beside that.
    """
    words = " ".join(
        line.removeprefix(REMOTE).strip() for line in said.splitlines() if REMOTE in line
    )
    for line in output.splitlines():
        flag, tab, rest = line.partition("\t")
        if not tab or len(flag) != 1:
            continue
        refs, _, summary = rest.partition("\t")
        yield (
            refs.partition(":")[0],
            (_reason(summary) or words or "refused") if flag == "!" else "",
        )


def _reason(summary: str) -> str:
    """Return what stands in brackets, [rejected] (fetch first); none of what is vague."""
    why = summary.rpartition("(")[2].removesuffix(")")
    if why in ("fetch first", "non-fast-forward", "already exists", "needs force"):
        return MOVED_ON
    return "" if why.endswith("declined") else why


def _show(repository: Path, *words: str) -> str:
    return _git(repository, *words, ok=(0, 1)).stdout


def _git(
    repository: Path, *words: str, options: Iterable[str] = (), ok: tuple[int, ...] = (0,)
) -> CompletedProcess[str]:
    """Run git on a repository that others own, with nothing of its configuration that runs things.

    Raises:
        ContentError: it ends with another status than `ok` has.
    """
    given = [
        f"safe.directory={repository}",
        "core.hooksPath=/dev/null",
        *PACKING,
        *PATIENCE,
        *options,
    ]
    command = ["git", *(word for each in given for word in ("-c", each)), "-C", str(repository)]
    environment: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [*command, *words],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode not in ok:
        raise ContentError(f"git {words[0]}: {done.stderr.strip() or done.returncode}")
    return done
