#!/usr/bin/python3 -I
"""Runs one job of an earlier commit again, as `dap reproduce` asks on standard input.

Usage:  reproduce look    {"project", "commit"}: prints {"ref"}: what holds the commit, or nothing
        reproduce run     {"project", "commit", "ref", "job", "variables", "message"}: prints how
                          the pipeline goes; the last line is {"number", "url", "status", "reason",
                          "image", "log"}: how it ended, and the end of the job's log
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, "/opt/gitolite/lib")
import forge

REPOSITORIES = Path("/home/git/repositories")
USER = "dap.reproduce"
LOG_LINES = 20
# Pipelines have a limit of their own; this is for one that nobody takes out of the queue.
FOLLOW_SECONDS = 86400.0


def git(project: str, *arguments: str) -> str:
    """Return what git prints in a project's repository; nothing where it fails."""
    command = ["git", "--git-dir", str(REPOSITORIES / f"{project}.git"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return done.stdout.strip() if done.returncode == 0 else ""


def holder(project: str, commit: str) -> str:
    """Return a branch (main first) or tag that a commit is in; nothing if no one can reach it."""
    patterns = ("refs/heads/main", "refs/heads", "refs/tags")
    found = git(project, "for-each-ref", "--format=%(refname)", f"--contains={commit}", *patterns)
    refs = found.splitlines()
    return next((ref for ref in refs if ref == "refs/heads/main"), refs[0] if refs else "")


def look(asked: dict[str, Any]) -> None:
    """Print what holds the commit that is asked for."""
    print(json.dumps({"ref": holder(asked["project"], asked["commit"])}))


def run(asked: dict[str, Any]) -> None:
    """Run the job, print how it goes and how it ended."""
    request = {key: asked[key] for key in ("project", "commit", "ref", "job", "variables")}
    author = git(asked["project"], "log", "-1", "--format=%an", asked["commit"])
    more = {"message": asked["message"], "author": author, "user": USER}
    number = forge.ask({**request, **more})
    url = forge.pipeline_url(asked["project"], number)
    print(f"pipeline #{number}: {url}", flush=True)
    forge.follow(asked["project"], number, FOLLOW_SECONDS)
    state = forge.find(number) or {"status": "", "reason": "", "jobs": []}
    end = {"number": number, "url": url, "status": state["status"], "reason": state["reason"]}
    image = state["jobs"][0]["image"] if state["jobs"] else ""
    print(json.dumps({**end, "image": image, "log": log(state)}))


def log(state: dict[str, Any]) -> list[str]:
    """Return the last lines of what the job said, without their times."""
    if not state["jobs"]:
        return []
    path = forge.STATE / state["project"] / str(state["id"]) / state["jobs"][0]["log"]
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return [forge.plain(line.partition(" ")[2]) for line in lines]


if __name__ == "__main__":
    {"look": look, "run": run}[sys.argv[1]](json.load(sys.stdin))
