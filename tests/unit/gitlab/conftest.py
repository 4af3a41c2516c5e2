"""A forge of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gitlab.forge import Forge

KEYS = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO" + 42 * "a" + " ada@laptop",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO" + 42 * "b" + " ada@desk",
]
DATA: dict[str, Any] = {
    "domain": "lab.example.org",
    "users": [
        {"name": "admin", "email": "admin@example.org", "admin": True},
        {"name": "ada", "email": "ada@example.org", "full_name": "Ada L.", "ssh_keys": KEYS},
        {"name": "grace", "email": "grace@example.org"},
    ],
    "projects": [{"name": "analysis"}, {"name": "closed", "members": ["ada"]}],
    "workspaces": [],
}


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    made = Forge(tmp_path)
    made.tree(DATA)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def after_a_deploy(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    made = Forge(tmp_path_factory.mktemp("forge"))
    made.tree(DATA)
    made.start()
    first = made.content(DATA)
    made.stop()
    assert first.status == 0, first.output
    return made


@pytest.fixture
def made(tmp_path: Path, after_a_deploy: Forge) -> Iterator[Forge]:
    """A forge that has all that the settings name."""
    forge = Forge(tmp_path)
    forge.take_over(after_a_deploy)
    forge.start()
    yield forge
    forge.stop()
