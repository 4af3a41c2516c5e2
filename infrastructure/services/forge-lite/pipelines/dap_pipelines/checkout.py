"""Makes the working tree that a pipeline starts from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dap_pipelines.state import Pipeline
from dap_pipelines.values import GIT_GROUP, REPOSITORIES, Values

# As many commits as GitLab fetches by default.
DEPTH = 20
# One shell instead of a process started for each step. The last line takes out the files by which a
# repository would set gitlab-ci-local's own options.
SCRIPT = """\
repository=$1 depth=$2 branch=$3 commit=$4 before=$5
printf %s "$6" >"$HOME/config"
shift 6
git init --quiet
cat "$HOME/config" >>.git/config
git fetch --quiet --no-tags --depth="$depth" "$repository" "$@"
git checkout --quiet -B "$branch" "$commit"
# What `rules: changes` compares with; a commit that was rewritten may be gone.
[ -z "$before" ] || git fetch --quiet --no-tags --depth=1 "$repository" \
    "+$before:refs/remotes/origin/main" || echo "the commit before is gone: $before" >&2
git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
rm -f .gitlab-ci-local-env .gitlab-ci-local.yml .gitlab-ci-local-variables.yml
"""


class CheckoutError(Exception):
    """The commit can't be checked out; the message is git's."""


def check_out(pipeline: Pipeline, values: Values, target: Path, home: Path, uid: int) -> None:
    """Put the pipeline's commit into the new directory `target`, owned by `uid`.

    Raises:
        CheckoutError: git failed.
    """
    repository = REPOSITORIES / f"{pipeline.project}.git"
    branch = pipeline.ref.split("/", 2)[2]
    fetch = [f"+{pipeline.commit}:refs/remotes/origin/{branch}"]
    if branch != "main" and (repository / "refs/heads/main").exists():
        fetch.append("+refs/heads/main:refs/remotes/origin/main")
    # gitlab-ci-local takes host, group and project from gcl-origin.
    config = (
        f'[remote "gcl-origin"]\n\turl = {values.clone}{values.platform}/{pipeline.project}.git\n'
        f'[remote "origin"]\n\turl = {values.clone}{pipeline.project}\n'
        f"[user]\n\tname = {pipeline.user}\n\temail = {pipeline.user}@{values.platform}\n"
    )
    done = subprocess.run(
        [
            "/bin/sh",
            "-euc",
            SCRIPT,
            "checkout",
            f"file://{repository}",
            str(DEPTH),
            branch,
            pipeline.commit,
            pipeline.before if branch == "main" else "",
            config,
            *fetch,
        ],
        cwd=target,
        user=uid,
        group=uid,
        extra_groups=[GIT_GROUP],
        umask=0o022,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise CheckoutError(done.stderr.strip() or "git failed")
