"""The pattern of a project and the example are one thing."""

import os
import tomllib
from pathlib import Path

import pytest
import yaml
from dap.projects import copy_pattern

from tests.paths import ROOT, relative, repository_files

PATTERN = ROOT / "infrastructure" / "pattern"
EXAMPLE = ROOT / "src" / "breast-cancer"
NAMED = {".gitlab-ci.yml", "config.toml", "README.md", ".gitignore"}


def made(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "made"
    copy_pattern(PATTERN, folder, name, f"ssh://git@git.example.org:2222/{name}")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rendered_for_its_name_the_pattern_is_the_example(tmp_path: Path) -> None:
    folder = made(tmp_path, "breast-cancer") / "src" / "breast-cancer"
    start = f"{relative(EXAMPLE)}/"
    kept = [path for path in repository_files() if relative(path).startswith(start)]
    assert files(folder) == {relative(p).removeprefix(start): p.read_bytes() for p in kept}


def test_all_but_what_bears_the_name_is_a_link_to_the_example() -> None:
    [folder] = (PATTERN / "project" / "src").iterdir()
    found = [path for path in repository_files() if path.parent == folder]
    plain = {path.name for path in found if not path.is_symlink()}
    assert plain == {f"{name}.pattern" for name in NAMED}
    links = [path for path in found if path.is_symlink()]
    assert links
    for path in links:
        assert path.resolve() == EXAMPLE / path.name


def test_pipelines_are_those_of_analyses_in_the_platforms_own_repository() -> None:
    own = yaml.safe_load((ROOT / "template" / ".gitlab-ci.yml").read_text())
    pattern = yaml.safe_load((PATTERN / "project" / ".gitlab-ci.yml").read_text())
    rest = {"platform", "environments"}
    assert pattern["stages"] == [stage for stage in own["stages"] if stage not in rest]
    locals_ = [{"local": each["local"]} for each in own["include"]]
    assert pattern["include"] == [each for each in locals_ if "/src/" in each["local"]]


@pytest.mark.parametrize("name", ["churn", "123", "null", "a" * 63])
def test_a_project_is_whole_under_any_name(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path, name)
    found = files(folder)
    assert set(found) >= {".gitlab-ci.yml", ".gitignore", "README.md", f"src/{name}/README.md"}
    texts = "\n".join(text.decode() for text in found.values())
    assert "@[" not in texts
    assert "breast-cancer" not in texts
    config = tomllib.loads(found[f"src/{name}/config.toml"].decode())
    assert config["name"] == name
    jobs = yaml.safe_load(found[f"src/{name}/.gitlab-ci.yml"])
    stages = ["check", "load", "train", "register"]
    assert set(jobs) == {f".{name} job", *(f"{name} {stage}" for stage in stages)}
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert not os.access(folder / "README.md", os.X_OK)
