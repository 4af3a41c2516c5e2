"""What is built, what is taken as it is, and what the lock says then."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from dap.catalogue import read_catalogue
from dap.environments.content import base_content, contents, read_folders
from dap.environments.decide import decide, new_lock, wanted
from dap.environments.lock import Locked, read_lock, write_lock
from dap.errors import InputError
from dap.files import digest_of_files

from tests.paths import ROOT


def image(name: str, digit: str) -> str:
    return f"environments/{name}@sha256:{digit * 64}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "infrastructure/base").mkdir(parents=True)
    (tmp_path / "infrastructure/base/Dockerfile").write_text("FROM debian\n")
    for name, parent in (("child", "middle"), ("middle", "base"), ("base", "base")):
        folder = tmp_path / "environments" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text("FROM parent\n")
        (folder / "environment.yml").write_text(f"description: {name}\nparent: {parent}\n")
    return tmp_path


def made_of(root: Path) -> dict[str, str]:
    folders = read_folders(root)
    return contents(
        base_content(root),
        {name: digest_of_files(folder.context) for name, folder in folders.items()},
        {name: folder.parent for name, folder in folders.items()},
    )


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("environments/child/Dockerfile", {"child"}),
        ("environments/middle/Dockerfile", {"middle", "child"}),
        ("environments/base/new", {"base", "middle", "child"}),
        ("infrastructure/base/new", {"base", "middle", "child"}),
        ("environments/middle/tests/test_more.py", set()),
        ("environments/middle/README.md", set()),
        ("environments/lock.yml", set()),
    ],
)
def test_content_changes_with_all_it_is_made_of(root: Path, file: str, changed: set[str]) -> None:
    before = made_of(root)
    path = root / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("other\n")
    after = made_of(root)
    assert {name for name in after if before[name] != after[name]} == changed


def test_parents_come_first(root: Path) -> None:
    assert list(read_folders(root)) == ["base", "middle", "child"]


def test_a_deploy_and_a_pipeline_compute_the_same() -> None:
    catalogue = read_catalogue(ROOT)
    assert dict(catalogue.environment_contents) == made_of(ROOT)


def test_an_environment_that_descends_from_itself_is_refused(root: Path) -> None:
    (root / "environments/middle/environment.yml").write_text("parent: child\n")
    with pytest.raises(InputError, match="descends from itself"):
        read_folders(root)


def test_a_parent_that_is_not_there_is_refused(root: Path) -> None:
    (root / "environments/middle/environment.yml").write_text("parent: other\n")
    with pytest.raises(InputError, match=r"middle/environment.yml: parent: no environment 'other'"):
        read_folders(root)


def decided(root: Path, *known: Mapping[str, Locked], gone: str = "") -> dict[str, str | None]:
    folders, made = read_folders(root), made_of(root)
    candidates = [(f"source {number}", entries) for number, entries in enumerate(known)]
    steps = decide(folders, made, folders, candidates, lambda each: each != gone)
    return {step.name: step.image for step in steps}


def test_only_what_no_known_image_fits_is_built(root: Path) -> None:
    made = made_of(root)
    lock = {
        "base": Locked(made["base"], image("base", "1")),
        "middle": Locked("0" * 12, image("middle", "2")),
    }
    deployed = {"child": Locked(made["child"], image("child", "3"))}
    assert decided(root, lock, deployed) == {
        "base": image("base", "1"),
        "middle": None,
        "child": image("child", "3"),
    }
    assert decided(root, lock, deployed, gone=image("base", "1"))["base"] is None


def test_what_nobody_offers_is_left_alone(root: Path) -> None:
    assert wanted(read_folders(root), ["middle", "unknown"]) == {"base", "middle"}


def test_the_lock_keeps_what_fits_and_names_no_more_than_it_must(root: Path) -> None:
    folders = read_folders(root)
    lock = {
        "middle": Locked("0" * 12, image("middle", "1")),
        "left": Locked("1" * 12, image("left", "2")),
    }
    deployed = {"base": Locked("2" * 12, image("base", "3"))}
    made = {"middle": Locked("3" * 12, image("middle", "4"))}
    assert new_lock(lock, deployed, {**deployed, **made}, folders) == made


def test_a_lock_is_read_as_it_was_written() -> None:
    entries = {
        "r": Locked("012345678901", image("r", "a")),
        "base": Locked("1e2345678901", image("base", "b")),
    }
    assert read_lock(write_lock(entries)) == entries
    assert read_lock(write_lock({})) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "must hold an entry for each environment"),
        ("a: {content: 012345678901}", "a: must have content and image"),
        ("a: {content: x, image: y}", "a: content: must be twelve hex digits"),
        (f"a: {{content: '012345678901', image: {image('b', '1')}}}", "a: image: must be"),
        ("a: {content: '012345678901', image: 'debian:13'}", "a: image: must be"),
        ("a: [", "environments/lock.yml: "),
    ],
)
def test_a_damaged_lock_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_lock(text)
    assert "git checkout" in refused.value.hint
