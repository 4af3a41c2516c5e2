"""What `copier copy` makes: the right files, right answers refused, a project that stands alone."""

import filecmp
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from demo.project import clean_environment
from tests.paths import ROOT, relative, repository_files
from tests.template.conftest import Scaffold

LINKED = ("infrastructure", "environments", "src", "doc")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKi0v5rwZ9wTVvJkTqDkBNNYH0eN1sOqzVYnZQ1xB7dT me@laptop"

ANSWERS = {
    "defaults": {},
    "own domain": {"name": "lab", "domain": "data.example.org", "address": "192.0.2.10"},
    "own admin": {"admin_user": "ada", "admin_email": "ada+x@example.org", "admin_ssh_key": KEY},
    "shortest": {"name": "d", "domain": "d.test", "admin_user": "abc"},
}

BAD = [
    ("name", ""),
    ("name", "Dap"),
    ("name", "-dap"),
    ("name", "dap-"),
    ("name", "a" * 33),
    ("name", 'a"b'),
    ("name", "a\nb"),
    ("name", "a b"),
    ("domain", ""),
    ("domain", "localhost"),
    ("domain", "Example.org"),
    ("domain", "a..b"),
    ("domain", "a_b.org"),
    ("domain", "example.org\nx: y"),
    ("address", ""),
    ("address", "256.1.1.1"),
    ("address", "10.0.0"),
    ("address", "example.org"),
    ("admin_user", "Ada"),
    ("admin_user", "ada lovelace"),
    ("admin_user", "$HOME"),
    ("admin_user", "ab"),
    ("admin_user", "postgres"),
    ("admin_user", "analysis"),
    ("admin_email", "nobody"),
    ("admin_email", "a'b@example.org x"),
    ("admin_ssh_key", "AAAA"),
    ("admin_ssh_key", "ssh-ed25519 short"),
    ("admin_ssh_key", KEY + "\n" + KEY),
    ("admin_ssh_key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
]


def linked_files() -> list[str]:
    """Files of the linked trees; a link in them stands for what it leads to."""
    files = repository_files()
    found = []
    for path in files:
        if relative(path).split("/")[0] not in LINKED:
            continue
        if not path.is_symlink():
            found.append(relative(path))
            continue
        target = path.resolve()
        below = [each for each in files if each.is_relative_to(target)]
        found += [relative(path / each.relative_to(target)) for each in below]
    return found


def project_files(project: Path) -> set[str]:
    return {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()}


def test_linked_trees_are_the_same_bytes_and_modes(project: Path) -> None:
    names = linked_files()
    assert len(names) > 50
    _, different, missing = filecmp.cmpfiles(ROOT, project, names, shallow=False)
    assert different == []
    assert missing == []
    for name in names:
        assert os.access(project / name, os.X_OK) == os.access(ROOT / name, os.X_OK), name


def test_nothing_else_is_in_the_project(project: Path) -> None:
    rendered = {
        re.sub(r"\.jinja$", "", relative(p).removeprefix("template/")).replace(
            "{{ _copier_conf.answers_file }}", ".copier-answers.yml"
        )
        for p in repository_files()
        if relative(p).startswith("template/") and not p.is_symlink()
    }
    assert project_files(project) == rendered | set(linked_files())


def test_no_link_leads_out_of_the_project(project: Path) -> None:
    for path in project.rglob("*"):
        if path.is_symlink():
            assert path.resolve(strict=True).is_relative_to(project), path


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS.keys())
def test_settings_say_what_was_answered(scaffold: Scaffold, answers: dict[str, str]) -> None:
    project = scaffold(**answers)
    settings = yaml.safe_load((project / "platform.yml").read_text())
    assert settings["name"] == answers.get("name", "dap")
    assert settings["domain"] == answers.get("domain", f"{settings['name']}.localhost")
    assert settings["address"] == answers.get("address", "127.0.0.1")
    [user] = settings["users"]
    assert user["name"] == answers.get("admin_user", "admin")
    assert user["email"] == answers.get("admin_email", f"{user['name']}@{settings['domain']}")
    assert user["ssh_keys"] == ([answers["admin_ssh_key"]] if "admin_ssh_key" in answers else [])
    assert [w["owner"] for w in settings["workspaces"]] == [user["name"]]
    schema = project / "infrastructure" / "platform.schema.json"
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [checker, "--schemafile", schema, project / "platform.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pipelines_are_what_gitlab_reads(project: Path) -> None:
    files = [
        project / ".gitlab-ci.yml",
        project / "environments" / ".gitlab-ci.yml",
        *project.glob("src/*/.gitlab-ci.yml"),
    ]
    assert len(files) > 2
    checker = Path(sys.executable).parent / "check-jsonschema"
    gitlab = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    done = subprocess.run([checker, *gitlab, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("question", "answer"), BAD, ids=[f"{q}={a[:20]!r}" for q, a in BAD])
def test_a_bad_answer_is_refused_by_name(scaffold: Scaffold, question: str, answer: str) -> None:
    message = f"Validation error for question '{question}': {question}: "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        scaffold(**{question: answer})


def test_editors_find_the_schema(project: Path) -> None:
    first = (project / "platform.yml").read_text().splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match
    assert (project / match[1]).is_file()


def test_there_are_few_questions() -> None:
    questions = [key for key in yaml.safe_load((ROOT / "copier.yml").read_text()) if key[0] != "_"]
    assert len(questions) <= 7


def test_no_answer_is_a_secret(project: Path) -> None:
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    secret = re.compile("password|token|secret|private", re.IGNORECASE)
    assert [key for key in answers if secret.search(key)] == []


def make(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment() | {"USER": "whoever"},
    )


def test_make_lists_every_target_with_one_line(project: Path) -> None:
    done = make(project)
    assert done.returncode == 0, done.stderr
    text = (project / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert targets
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert sorted(listed) == sorted(targets[1].split())
    assert {"help", "deploy", "plan", "verify", "credentials", "destroy"} <= set(listed)


def test_the_person_is_not_taken_from_the_environment(project: Path) -> None:
    assert "whoever" not in make(project, "--dry-run", "credentials").stdout
    assert (
        "credentials --user 'ada'" in make(project, "--dry-run", "credentials", "USER=ada").stdout
    )


@pytest.mark.slow
class TestOwnTools:
    """The project's own first command installs what it needs and runs."""

    def test_validate_accepts_the_defaults(self, project: Path) -> None:
        done = make(project, "validate")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (project / ".venv" / "bin" / "dap").is_file()

    def test_validate_names_file_key_and_line(self, scaffold: Scaffold) -> None:
        project = scaffold()
        file = project / "platform.yml"
        text = file.read_text().replace("forge: lite", "forg: lite")
        file.write_text(text)
        line = text.splitlines().index("forg: lite") + 1
        done = make(project, "validate")
        assert done.returncode == 2
        assert f"platform.yml:{line}" in done.stdout + done.stderr
        assert "forge" in done.stdout + done.stderr

    def test_git_ignores_what_the_tools_leave(self, project: Path) -> None:
        make(project, "validate")
        subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
        untracked = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=all"],
            cwd=project,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert {line[3:] for line in untracked.splitlines()} <= set(linked_files()) | project_files(
            project
        ) - {n for n in project_files(project) if n.startswith((".venv/", ".dap/"))}
        assert not re.search(r"\.venv|\.dap/|__pycache__", untracked)
