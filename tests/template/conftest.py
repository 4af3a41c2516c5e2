"""Projects made from the template as it is in the working tree."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from copier import run_copy

from demo.project import clean_environment
from tests.paths import ROOT, repository_files

Scaffold = Callable[..., Path]


def snapshot(target: Path) -> None:
    """Copy what git would commit now, and nothing of what lies about beside it."""
    for path in repository_files():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as plain files."""
    target = tmp_path_factory.mktemp("distribution")
    snapshot(target)
    return target


@pytest.fixture(scope="session")
def scaffold(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Scaffold:
    """Make a project with answers other than the defaults given by name."""

    def make(**answers: str) -> Path:
        target = tmp_path_factory.mktemp("project") / "p"
        run_copy(str(template), target, data=answers, defaults=True, quiet=True)
        return target

    return make


@pytest.fixture(scope="session")
def project(scaffold: Scaffold) -> Path:
    """The project that every default gives; not to be changed."""
    return scaffold()


def copier(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run copier as a user does; the caller judges its exit status."""
    return subprocess.run(
        [Path(sys.executable).parent / "copier", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
