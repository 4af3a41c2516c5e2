"""GitLab is closed to strangers, protects what it keeps, and has the runners of all hosts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from acceptance import Deployed, Ran, expect, expect_none
from acceptance.jobs import provider
from acceptance.leaks import Leaks

ADDRESS = "git"
REMEDY = "make deploy"


@pytest.fixture
def api(platform: Deployed, web: requests.Session) -> Any:
    """GitLab's API, as the platform itself uses it."""
    runs: Any = provider(platform)
    return runs.Api(platform, web)


def test_sign_up_is_off(api: Any) -> None:
    found = api.ask("GET", "/application/settings").json()
    expect(not found["signup_enabled"], "anybody may make an account", REMEDY)


def test_strangers_see_no_project(web: requests.Session, api: Any) -> None:
    answer = web.get(f"{api.url}/api/v4/projects", timeout=30)
    expect(answer.ok and answer.json() == [], f"strangers see {answer.text[:200]}", REMEDY)


def test_main_can_not_be_rewritten(platform: Deployed, api: Any) -> None:
    may = []
    for project in platform.settings.projects:
        rules = api.ask("GET", f"{api.project(project.name)}/protected_branches").json()
        main = [each for each in rules if each["name"] == "main" and not each["allow_force_push"]]
        if not main:
            may.append(f"main of {project.name} can be rewritten")
    expect_none(may, REMEDY)


def test_runners_are_online(platform: Deployed, api: Any) -> None:
    """As GitLab sees them: those that the platform asks for, and no other of its name."""
    folders = platform.prepared.plan.folders
    wanted = {
        f"{platform.name}/{resource.name}"
        for folder in folders.values()
        for resource in folder.options.resources
        if resource.kind == "runner"
    }
    answer = api.ask("GET", "/runners/all", params={"per_page": 100})
    found = {each["description"]: each["status"] for each in answer.json()}
    problems = [
        f"{name} is {found.get(name, 'not there')}"
        for name in sorted(wanted)
        if found.get(name) != "online"
    ]
    ours = {name for name in found if (name or "").startswith(f"{platform.name}/")}
    problems += [f"{name} is asked for by nobody" for name in sorted(ours - wanted)]
    expect_none(problems, f"make logs SERVICE=gitlab-runner; {REMEDY}")


def test_no_secret_in_the_logs_of_jobs(pipeline: Ran, leaks: Leaks) -> None:
    found = leaks.where(
        (f"the log of {name}", job.log.encode()) for name, job in pipeline.jobs.items()
    )
    expect_none(
        found, "GitLab masks what variables.py of its content says: whose job got round that?"
    )


def test_git_gives_no_shell(platform: Deployed, tmp_path: Path) -> None:
    """To somebody whose key it knows."""
    user = platform.settings.users[0]
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(platform.prepared.secrets[f"gitlab/user-{user.name}"], encoding="utf-8")
    command = [
        *("ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}"),
        *("-p", str(platform.settings.ports.ssh), f"git@{platform.address}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    expect("Welcome to GitLab" in done.stdout + done.stderr, f"it says {done.stderr[:200]}", REMEDY)
    done = subprocess.run(
        [*command, "cat", "/etc/passwd"], capture_output=True, text=True, check=False, timeout=30
    )
    expect("root:" not in done.stdout, "git over SSH runs what it is told to", REMEDY)
