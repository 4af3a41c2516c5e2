"""`copier update` brings a project of each version up to date and keeps its user's edits."""

import subprocess
from pathlib import Path

import pytest

from demo.project import clean_environment
from tests.paths import ROOT
from tests.template.conftest import copier, snapshot


def git(*arguments: str, cwd: Path) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment(),
    ).stdout


def clone(target: Path) -> Path:
    """The working tree as a repository whose last commit holds all of it."""
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(target), cwd=ROOT)
    snapshot(target)
    git("add", "--all", cwd=target)
    git("commit", "--quiet", "--allow-empty", "--message", "Working tree", cwd=target)
    return target


def edited_project(template: Path, version: str, target: Path) -> Path:
    """A committed project of a version of the template with a user's edits in it."""
    done = copier("copy", "--quiet", "--defaults", "--vcs-ref", version, str(template), str(target))
    assert done.returncode == 0, done.stderr[-3000:]
    settings = target / "platform.yml"
    text = settings.read_text()
    assert "slots: 2" in text
    text = text.replace("slots: 2", "slots: 3").replace("lite\n", "lite\n# a note of mine\n", 1)
    settings.write_text(text)
    (target / "src" / "own").mkdir()
    (target / "src" / "own" / "analysis.py").write_text("print('mine')\n")
    git("init", "--quiet", "--initial-branch", "main", cwd=target)
    git("add", "--all", cwd=target)
    git("commit", "--quiet", "--message", "Mine", cwd=target)
    return target


def assert_updated(project: Path, template: Path) -> None:
    text = (project / "platform.yml").read_text()
    assert "slots: 3" in text
    assert "# a note of mine" in text
    assert "<<<<<<<" not in text
    assert (project / "src" / "own" / "analysis.py").read_text() == "print('mine')\n"
    assert list(project.rglob("*.rej")) == []
    for name in ("Makefile", ".gitignore"):
        assert (project / name).read_bytes() == (template / "template" / name).read_bytes()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the git repository")
@pytest.mark.slow
class TestUpdate:
    def test_a_change_of_the_template_reaches_an_edited_project(self, tmp_path: Path) -> None:
        template = clone(tmp_path / "template")
        git("tag", "9.0.0", cwd=template)
        project = edited_project(template, "9.0.0", tmp_path / "project")
        settings = template / "template" / "platform.yml.jinja"
        settings.write_text(settings.read_text().replace("tls: {}\n", "tls: {}   # new words\n", 1))
        (template / "doc" / "new-page.md").write_text("# New\n")
        git("add", "--all", cwd=template)
        git("commit", "--quiet", "--message", "Change", cwd=template)
        git("tag", "9.1.0", cwd=template)
        done = copier("update", "--quiet", "--defaults", cwd=project)
        assert done.returncode == 0, done.stderr[-3000:]
        assert_updated(project, template)
        assert "tls: {}   # new words" in (project / "platform.yml").read_text()
        assert (project / "doc" / "new-page.md").is_file()
        assert "_commit: 9.1.0" in (project / ".copier-answers.yml").read_text()

    def test_update_from_each_version(self, tmp_path: Path) -> None:
        tags = git("tag", "--merged", "HEAD", cwd=ROOT).split()
        if not tags:
            pytest.skip("no version has been tagged yet: nothing to update from")
        template = clone(tmp_path / "template")
        for tag in tags:
            project = edited_project(template, tag, tmp_path / tag)
            done = copier("update", "--quiet", "--defaults", "--vcs-ref", "HEAD", cwd=project)
            assert done.returncode == 0, done.stderr[-3000:]
            assert_updated(project, template)
