"""Repositories of an earlier forge come into GitLab, whatever happened to either meanwhile."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gitlab.forge import Forge
from tests.unit.gitlab.conftest import DATA

MOVED = "refs/dap/moved/"
OLD = "small-forge"


def git(place: Path, *words: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", "-C", str(place), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Left:
    """A repository that an earlier forge left, and a clone that pushes to it."""

    def __init__(self, forge: Forge, project: str) -> None:
        self.forge = forge
        self.project = project
        self.old = forge.left / "repositories" / OLD / f"{project}.git"
        self.new = forge.repositories / "dap" / f"{project}.git"
        self.clone = forge.place / f"clone-{project}"
        self.old.mkdir(parents=True)
        git(self.old, "init", "--quiet", "--bare", "--initial-branch=main")
        subprocess.run(["git", "clone", "--quiet", self.old, self.clone], check=True)

    def push(self, *refs: str, to: Path | None = None) -> str:
        """Commit something and push it to refs; the commit."""
        git(self.clone, "commit", "--quiet", "--allow-empty", "--message", " ".join(refs))
        targets = [f"HEAD:{ref}" for ref in refs]
        git(self.clone, "push", "--quiet", "--force", str(to or self.old), *targets)
        return git(self.clone, "rev-parse", "HEAD").strip()

    def refs(self, place: Path | None = None) -> dict[str, str]:
        """Return branches, tags and notes, but not where GitLab keeps what was moved."""
        lines = git(place or self.new, "for-each-ref", "--format=%(refname) %(objectname)")
        found = dict(line.split(" ") for line in lines.splitlines())
        return {ref: value for ref, value in found.items() if not ref.startswith(MOVED)}

    def moved(self, ref: str) -> str:
        """Return what GitLab keeps of a ref as the earlier forge had it."""
        return git(self.new, "rev-parse", ref.replace("refs/", MOVED, 1)).strip()


@pytest.fixture
def left(made: Forge) -> Left:
    """A project with history in the earlier forge, and a GitLab that has nothing of it."""
    given = Left(made, "analysis")
    given.push("refs/heads/main")
    git(given.clone, "tag", "--annotate", "--message=first", "v1")
    git(given.clone, "push", "--quiet", str(given.old), "v1")
    git(given.clone, "tag", "light")
    git(given.clone, "push", "--quiet", str(given.old), "light")
    given.push("refs/heads/topic/one", "refs/notes/commits")
    return given


def test_all_is_there_after_one_run_and_the_next_changes_nothing(left: Left) -> None:
    ran = left.forge.content(DATA)
    assert ran.status == 0, ran.output
    assert ran.changes == ["gitlab: changed: history of analysis: 5 refs"]
    assert left.refs() == left.refs(left.old)
    assert len(left.refs()) == 5
    again = left.forge.content(DATA)
    assert (again.status, again.changes) == (0, []), again.output
    assert "gitlab: ok: history of analysis" in again.lines


def test_a_dry_run_tells_and_moves_nothing(left: Left) -> None:
    ran = left.forge.content(DATA, "--check")
    assert ran.changes == ["gitlab: would change: history of analysis"]
    assert left.refs() == {}


@pytest.mark.slow
def test_what_verify_left_behind_and_places_of_gitlabs_own_stay(left: Left) -> None:
    left.push("refs/heads/dap.verify/1", "refs/keep-around/1", "refs/merge-requests/1/head")
    assert left.forge.content(DATA).status == 0
    assert len(left.refs()) == 5
    assert not [ref for ref in left.refs() if re.search(r"verify|keep-around|merge", ref)]


@pytest.mark.slow
def test_what_was_pushed_and_deleted_in_gitlab_stays_so(left: Left) -> None:
    assert left.forge.content(DATA).status == 0
    git(left.new, "update-ref", "-d", "refs/heads/topic/one")
    newer = left.push("refs/heads/main", to=left.new)
    ran = left.forge.content(DATA)
    assert (ran.status, ran.changes) == (0, []), ran.output
    assert left.refs()["refs/heads/main"] == newer
    assert "refs/heads/topic/one" not in left.refs()


@pytest.mark.slow
def test_who_went_back_and_pushed_there_gets_that_too(left: Left) -> None:
    assert left.forge.content(DATA).status == 0
    newer = left.push("refs/heads/main")
    late = left.push("refs/heads/late")
    ran = left.forge.content(DATA)
    assert ran.changes == ["gitlab: changed: history of analysis: 2 refs"]
    assert left.refs()["refs/heads/main"] == newer
    assert left.refs()["refs/heads/late"] == late


@pytest.mark.slow
def test_two_histories_of_a_branch_are_both_kept_and_gitlabs_is_the_branch(left: Left) -> None:
    assert left.forge.content(DATA).status == 0
    here = left.push("refs/heads/main", to=left.new)
    git(left.clone, "reset", "--quiet", "--hard", "HEAD~2")
    there = left.push("refs/heads/main")
    git(left.clone, "tag", "--force", "light")
    git(left.clone, "push", "--quiet", "--force", str(left.old), "light")
    tag = left.refs()["refs/tags/light"]
    ran = left.forge.content(DATA)
    assert ran.status == 0, ran.output
    assert ran.changes == [
        f"gitlab: changed: {what} of analysis is left as it is (it has other commits here); what "
        f"the earlier forge had is kept as {MOVED}{ref}"
        for what, ref in (("branch main", "heads/main"), ("tag light", "tags/light"))
    ]
    assert (left.refs()["refs/heads/main"], left.refs()["refs/tags/light"]) == (here, tag)
    assert left.moved("refs/heads/main") == left.moved("refs/tags/light") == there
    assert left.forge.content(DATA).changes == []


def hook(left: Left, text: str) -> Callable[[], None]:
    """Have GitLab judge pushes; returns what ends that."""
    file = left.new / "hooks" / "pre-receive"
    before = file.read_text() if file.exists() else "#!/bin/sh\n"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)

    def end() -> None:
        file.write_text(before)

    return end


@pytest.mark.slow
def test_a_name_that_gitlab_refuses_keeps_nothing_else_out(left: Left) -> None:
    assert left.forge.content(DATA).status == 0
    left.push("refs/heads/bad")
    left.push("refs/heads/good", "refs/heads/better")
    hook(left, 'grep -q refs/heads/bad || exit 0; echo "GitLab: no such name"; exit 1')
    ran = left.forge.content(DATA)
    assert ran.status == 0, ran.output
    assert ran.changes[0].startswith(
        "gitlab: changed: branch bad of analysis is left as it is (GitLab: no such name); what"
    )
    assert ran.changes[1:] == ["gitlab: changed: history of analysis: 2 refs"]
    assert {"refs/heads/good", "refs/heads/better"} <= left.refs().keys()
    assert left.moved("refs/heads/bad") == git(left.old, "rev-parse", "bad").strip()
    assert left.forge.content(DATA).changes == []


@pytest.mark.slow
def test_cut_off_in_the_middle_the_next_run_goes_on(left: Left) -> None:
    """GitLab has the branches and dies before it is told that these were moved."""
    assert left.forge.content(DATA).status == 0
    newer = left.push("refs/heads/main", "refs/heads/late")
    end = hook(left, "grep -q refs/dap/ && { echo GitLab: goes down; exit 1; }; exit 0")
    cut = left.forge.content(DATA)
    assert cut.status == 1
    assert "GitLab does not take refs/heads/late of analysis: GitLab: goes down" in cut.output
    end()
    git(left.new, "update-ref", "-d", "refs/heads/late")
    ran = left.forge.content(DATA)
    assert (ran.status, ran.changes) == (0, ["gitlab: changed: history of analysis: 1 refs"])
    assert left.refs()["refs/heads/main"] == left.refs()["refs/heads/late"] == newer
    assert left.forge.content(DATA).changes == []


@pytest.mark.slow
def test_a_gitlab_that_is_gone_in_the_middle_fails_the_run_and_nothing_else(left: Left) -> None:
    assert left.forge.content(DATA).status == 0
    left.push("refs/heads/main")
    end = hook(left, "kill -9 $PPID")
    ran = left.forge.content(DATA)
    assert ran.status == 1, ran.output
    assert "gitlab: failed: git push" in ran.output
    end()
    assert left.forge.content(DATA).status == 0
    assert left.refs()["refs/heads/main"] == left.refs(left.old)["refs/heads/main"]


@pytest.mark.slow
def test_the_default_branch_is_the_one_that_it_was(made: Forge) -> None:
    given = Left(made, "closed")
    git(given.old, "symbolic-ref", "HEAD", "refs/heads/work")
    given.push("refs/heads/a", "refs/heads/work")
    first = given.forge.place / "first"
    given.new.parent.mkdir(parents=True)
    git(given.forge.place, "init", "--quiet", "--bare", str(given.new))
    git(given.new, "config", "receive.advertisePushOptions", "true")
    hook(given, f"[ -e {first} ] || cut -d' ' -f3 >{first}; exit 0")
    assert made.content(DATA).status == 0
    assert first.read_text() == "refs/heads/work\n"


@pytest.mark.slow
def test_no_pipeline_runs_and_no_secret_is_seen(left: Left) -> None:
    """Pipelines ran when it was pushed; the token is in no command line."""
    seen = left.forge.place / "seen"
    assert left.forge.content(DATA).status == 0
    left.push("refs/heads/main")
    hook(left, f"echo $GIT_PUSH_OPTION_0 >>{seen}; cat /proc/[0-9]*/cmdline >>{seen}; exit 0")
    assert left.forge.content(DATA).status == 0
    assert seen.read_text(errors="replace").startswith("ci.skip\n")
    assert left.forge.vault.values["gitlab/token"] not in seen.read_text(errors="replace")


@pytest.mark.slow
def test_a_repository_of_no_project_stays_and_is_told_of(left: Left) -> None:
    Left(left.forge, "forgotten").push("refs/heads/main")
    Left(left.forge, "empty")
    ran = left.forge.content(DATA)
    assert "gitlab: ok: repository forgotten is of no project and stays where it is" in ran.lines
    assert not [line for line in ran.lines if "repository empty" in line]
    assert not (left.forge.repositories / "dap" / "forgotten.git").exists()
