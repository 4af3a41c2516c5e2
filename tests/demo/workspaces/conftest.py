"""Two people with workspaces of many kinds, beside the one that the demo has."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client, client
from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "infrastructure" / "tests"))

IDLE_S = 20
SMALL = {"environment": "base", "cpus": 1, "memory": "1g"}
WORKSPACES = [
    {"name": "admin-shell", "owner": "admin", **SMALL, "volumes": ["shared"], "ssh_port": 2201},
    {"name": "grace-shell", "owner": "grace", **SMALL, "volumes": ["shared"]},
    {
        "name": "admin-idle",
        "owner": "admin",
        "environment": "python",
        "cpus": 1,
        "memory": "2g",
        "idle_stop": f"{IDLE_S}s",
        "host": "local",
    },
]


@pytest.fixture(scope="package")
def graces_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Private key of a second user."""
    key = tmp_path_factory.mktemp("grace") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


@pytest.fixture(scope="package")
def peopled(platform: Platform, graces_key: Path) -> Iterator[Platform]:
    """The platform with those workspaces; afterwards as it was, without their volumes."""
    file = platform.project.path / "platform.yml"
    text = file.read_text()
    settings = yaml.safe_load(text)
    grace = {
        "name": "grace",
        "email": "grace@example.org",
        "ssh_keys": [graces_key.with_suffix(".pub").read_text().strip()],
    }
    settings["users"].append(grace)
    settings["workspaces"] += WORKSPACES
    before = platform.volumes()
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        platform.project.make("deploy")
        yield platform
    finally:
        file.write_text(text)
        platform.project.make("deploy")
        for volume in platform.volumes() - before:
            platform.docker.volumes.get(volume).remove()


@pytest.fixture(scope="package")
def admin(peopled: Platform, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The demo's user."""
    return client(peopled.project, tmp_path_factory.mktemp("admin"), "admin", peopled.project.key)


@pytest.fixture(scope="package")
def grace(peopled: Platform, graces_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The second user."""
    return client(peopled.project, tmp_path_factory.mktemp("grace"), "grace", graces_key)
