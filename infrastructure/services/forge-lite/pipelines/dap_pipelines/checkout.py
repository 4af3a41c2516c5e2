"""Makes the working tree that a pipeline starts from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dap_pipelines.state import Pipeline
from dap_pipelines.values import GIT_GROUP, REPOSITORIES, Values

# As many commits as GitLab fetches by default.
DEPTH = 20
# Files by which a repository would set gitlab-ci-local's own options.
OPTIONS = (".gitlab-ci-local-env", ".gitlab-ci-local.yml", ".gitlab-ci-local-variables.yml")


class CheckoutError(Exception):
    """The commit can't be checked out; the message is git's."""


def check_out(pipeline: Pipeline, values: Values, target: Path, uid: int) -> None:
    """Put the pipeline's commit into the new directory `target`, owned by `uid`.

    Raises:
        CheckoutError: git failed.
    """
    repository = f"file://{REPOSITORIES}/{pipeline.project}.git"
    branch = pipeline.ref.split("/", 2)[2]
    fetch = [f"+{pipeline.commit}:refs/remotes/origin/{branch}"]
    if branch != "main" and (REPOSITORIES / f"{pipeline.project}.git/refs/heads/main").exists():
        fetch.append("+refs/heads/main:refs/remotes/origin/main")
    script = [
        ["init", "--quiet"],
        ["fetch", "--quiet", "--no-tags", f"--depth={DEPTH}", repository, *fetch],
        ["checkout", "--quiet", "-B", branch, pipeline.commit],
        ["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"],
    ]
    for arguments in script:
        _git(target, uid, arguments)
    # gitlab-ci-local asks git for these; written at once instead of by four calls.
    with (target / ".git" / "config").open("a") as config:
        config.write(
            f'[remote "gcl-origin"]\n\turl = {values.clone}{values.platform}/{pipeline.project}.git\n'
            f'[remote "origin"]\n\turl = {values.clone}{pipeline.project}\n'
            f"[user]\n\tname = {pipeline.user}\n\temail = {pipeline.user}@{values.platform}\n"
        )
    for name in OPTIONS:
        path = target / name
        if path.is_symlink() or path.is_file():
            path.unlink()


def _git(target: Path, uid: int, arguments: list[str]) -> None:
    done = subprocess.run(
        ["git", *arguments],
        cwd=target, user=uid, group=uid, extra_groups=[GIT_GROUP], umask=0o022,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True, text=True, errors="replace", check=False,
    )
    if done.returncode:
        raise CheckoutError(done.stderr.strip() or f"git {arguments[0]} failed")
