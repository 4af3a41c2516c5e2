"""What a pipeline shows of a branch: what a deploy would bring beside main, without a secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dap.cli import build
from dap.compare import compare
from typer.testing import CliRunner

from tests.paths import ROOT
from tests.unit.conftest import Project

SCRIPT = ROOT / "infrastructure" / "in-pipeline"


def git(place: Path, *words: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", "-C", str(place), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_no_change_is_no_change(project: Project) -> None:
    found = compare(project.trees(), project.trees())
    assert (found.is_empty, found.report) == (True, {"create": 0, "update": 0, "delete": 0})
    assert list(found.lines()) == ["No change: a deploy would bring the same to all hosts."]


def test_services_and_lines_that_differ_are_told(project: Project) -> None:
    before = project.trees()
    project.write("infrastructure/services/app/config/words", "new\n")
    shutil.rmtree(project.root / "infrastructure/services/start")
    project.data["workspaces"] = [
        {"name": "second", "owner": "admin", "environment": "python", "memory": "2g"}
    ]
    found = compare(before, project.trees())
    assert (found.create, found.delete) == (["local/second"], ["local/admin-python", "local/start"])
    assert "local/proxy" in found.update
    assert found.report == {"create": 1, "update": len(found.update), "delete": 2}
    assert "+new" in found.diffs["local: config/app/words"]
    assert "start:80" in found.diffs["local: config/proxy/proxy.conf"]
    assert "local: plan.json" not in found.diffs
    assert found.made_of > 0
    text = "\n".join(found.lines())
    assert "- New: local/second" in text


@pytest.fixture
def repository(project: Project) -> Path:
    """The project in a repository, with a branch beside main."""
    project.write("platform.yml", "tls: {certificate: a.pem, key: a.key}\n")
    git(project.root, "init", "--quiet", "--initial-branch=main")
    git(project.root, "add", "--all")
    git(project.root, "commit", "--quiet", "--message=main")
    git(project.root, "checkout", "--quiet", "-b", "topic")
    return project.root


def dap(repository: Path, *words: str) -> tuple[int, str]:
    arguments = ["--project", str(repository), "compare", *words]
    done = CliRunner().invoke(build(arguments), arguments)
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def test_a_branch_is_shown_as_text_and_as_gitlab_counts_it(
    repository: Path, tmp_path: Path
) -> None:
    """Files that are kept out of git are not asked for."""
    (repository / "platform.yml").write_text("ports: {https: 8443}\n")
    files = ["--markdown", str(tmp_path / "plan.md"), "--report", str(tmp_path / "plan.json")]
    status, said = dap(repository, "main", *files)
    assert status == 0, said
    assert "8443" in (tmp_path / "plan.md").read_text()
    report = json.loads((tmp_path / "plan.json").read_text())
    assert report.keys() == {"create", "update", "delete"}
    assert report["update"] > 0


def test_a_branch_whose_settings_are_wrong_is_refused(repository: Path) -> None:
    (repository / "platform.yml").write_text("prots: {https: 8443}\n")
    status, said = dap(repository, "main")
    assert status != 0
    assert "platform.yml" in said
    assert "prots" in said


def test_main_that_this_version_can_not_render_is_said(repository: Path) -> None:
    (repository / "infrastructure/services/app/compose.yml").write_text("x-dap: 7\n")
    git(repository, "commit", "--quiet", "--all", "--message=bad")
    git(repository, "checkout", "--quiet", "-B", "main")
    git(repository, "checkout", "--quiet", "HEAD~1")
    status, said = dap(repository, "main")
    assert status == 0, said
    assert "main can't be rendered by this version beside it" in said


def test_a_commit_that_is_not_there_is_refused(repository: Path) -> None:
    status, said = dap(repository, "nowhere")
    assert status != 0
    assert "nowhere" in said


class Job:
    """A job of the repository: a clone of what was pushed; its `dap` writes down its calls."""

    def __init__(self, place: Path) -> None:
        self.forge = place / "forge.git"
        self.work = place / "work"
        self.calls = place / "calls"
        self.home = place / "home"
        self.home.mkdir()
        for name in ("vault-key", "ssh-key"):
            (place / name).write_text(f"{name} of somebody")
            (place / name).chmod(0o644)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.forge], check=True)
        git(self.forge, "config", "receive.advertisePushOptions", "true")
        subprocess.run(["git", "clone", "-q", self.forge, self.work], check=True)
        infrastructure = self.work / "infrastructure"
        (infrastructure / "secrets").mkdir(parents=True)
        (infrastructure / "secrets/vault.yml").write_text("old\n")
        (infrastructure / "known_hosts").write_text("main ssh-ed25519 AAAA\n")
        shutil.copy(SCRIPT, infrastructure / "in-pipeline")
        self.program(infrastructure / "bootstrap", "true")
        self.vault = infrastructure / "secrets/vault.yml"
        (self.work / ".gitignore").write_text(".venv/\n")
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message=one")
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        git(self.work, "checkout", "--quiet", "--detach")
        self.dap("true")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DAP_VAULT_KEY": str(place / "vault-key"),
            "DAP_SSH_KEY": str(place / "ssh-key"),
            "CI_REPOSITORY_URL": str(self.forge),
            "CI_COMMIT_BRANCH": "main",
            "CI_COMMIT_SHORT_SHA": "12345678",
            "GITLAB_USER_LOGIN": "ada",
        }

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nset -eu\n{text}\n")
        path.chmod(0o755)

    def dap(self, text: str) -> None:
        """Have `dap` run a script after it wrote down its call and what it sees."""
        seen = 'echo "$1 $(cat "$DAP_VAULT_KEY_FILE") $(stat -c %a "$DAP_VAULT_KEY_FILE") $LOGNAME'
        seen += f' $(stat -c %a ~/.ssh/id_ed25519)" >>{self.calls}'
        self.program(self.work / ".venv/bin/dap", f"{seen}\n{text}")

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.work / "infrastructure/in-pipeline"), *words]
        environment = {name: value for name, value in {**self.environment, **more}.items() if value}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    @property
    def called(self) -> list[str]:
        return [line.split()[0] for line in self.calls.read_text().splitlines()]

    def in_forge(self) -> str:
        return git(self.forge, "show", "main:infrastructure/secrets/vault.yml")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_apply_keeps_new_secrets_in_the_repository_before_a_host_learns_them(job: Job) -> None:
    kept = f"git -C {job.forge} show main:infrastructure/secrets/vault.yml >>{job.calls}"
    job.dap(f"case $1 in secret) echo new >{job.vault};; deploy) {kept};; esac")
    done = job.run("apply")
    assert done.returncode == 0, done.stderr
    assert job.calls.read_text().splitlines() == [
        "secret vault-key of somebody 600 ada 600",
        "deploy vault-key of somebody 600 ada 600",
        "new",
    ]
    assert not (job.home / ".ssh/id_ed25519").exists()


def test_apply_keeps_what_services_gave_even_if_the_deploy_fails(job: Job) -> None:
    job.dap(f"[ $1 != deploy ] || {{ echo given >{job.vault}; exit 1; }}")
    assert job.run("apply").returncode == 1
    assert job.in_forge() == "given\n"


def test_apply_without_new_secrets_commits_nothing(job: Job) -> None:
    before = git(job.forge, "rev-parse", "main")
    assert job.run("apply").returncode == 0
    assert git(job.forge, "rev-parse", "main") == before


def test_apply_keeps_secrets_beside_what_others_merged_meanwhile(job: Job, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", job.forge, other], check=True)
    git(other, "commit", "--quiet", "--allow-empty", "--message=theirs")
    push = f"git -C {other} push --quiet origin HEAD:main"
    job.dap(f"[ $1 != deploy ] || {{ {push}; echo given >{job.vault}; }}")
    done = job.run("apply")
    assert done.returncode == 0, done.stderr
    assert job.in_forge() == "given\n"
    assert "theirs" in git(job.forge, "log", "--format=%s", "main")


@pytest.mark.parametrize("verb", ["apply", "drift"])
def test_a_job_that_begins_late_takes_main_as_it_is_by_then(
    job: Job, tmp_path: Path, verb: str
) -> None:
    """Its own commit lacks the secrets of the one after it, and would make others."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", job.forge, other], check=True)
    (other / "infrastructure/secrets/vault.yml").write_text("theirs\n")
    git(other, "commit", "--quiet", "--all", "--message=theirs")
    git(other, "push", "--quiet", "origin", "HEAD:main")
    job.dap(f"cat {job.vault} >>{job.calls}")
    done = job.run(verb)
    assert done.returncode == 0, done.stderr
    assert set(job.calls.read_text().splitlines()[1::2]) == {"theirs"}


def test_plan_has_main_beside_it_in_a_clone_that_knows_one_commit(job: Job) -> None:
    """As GitLab's runner makes it; no secret is asked for."""
    main = git(job.work, "rev-parse", "HEAD").strip()
    git(job.work, "update-ref", "-d", "refs/remotes/origin/main")
    git(job.work, "remote", "remove", "origin")
    job.program(job.work / ".venv/bin/dap", f'echo "$*" >>{job.calls}')
    done = job.run("plan", DAP_VAULT_KEY="", DAP_SSH_KEY="")
    assert done.returncode == 0, done.stderr
    assert job.calls.read_text() == ("compare origin/main --markdown plan.md --report plan.json\n")
    assert git(job.work, "rev-parse", "origin/main").strip() == main


def test_drift_is_a_failed_job(job: Job) -> None:
    job.dap('[ "$*" = "plan --exit-code" ] && exit 1')
    assert job.run("drift").returncode == 1
    assert job.called == ["plan"]


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ({"DAP_VAULT_KEY": ""}, "variable DAP_VAULT_KEY is missing"),
        ({"DAP_SSH_KEY": ""}, "variable DAP_SSH_KEY is missing"),
    ],
)
def test_what_the_operator_has_to_give_is_named(
    job: Job, missing: dict[str, str], says: str
) -> None:
    done = job.run("apply", **missing)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert not job.calls.exists()


def test_hosts_whose_keys_nobody_kept_are_not_trusted(job: Job) -> None:
    (job.work / "infrastructure/known_hosts").unlink()
    done = job.run("drift")
    assert (done.returncode, "commit infrastructure/known_hosts" in done.stderr) == (2, True)
