"""Images from the operator's machine to a registry with a CA and accounts of its own, by Docker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from dap.catalogue import read_catalogue
from dap.plan import make_plan
from dap.settings import Settings

from tests.cluster.registry import CERTIFICATES, serving
from tests.paths import ROOT
from tests.programs import tried

# What is built; the rest is somebody else's, so that a test moves megabytes and no gigabytes.
NEW = "nameserver"
BUILT = {"base", "registry", NEW}
SETTINGS: dict[str, Any] = {
    "domain": "images.test",
    "name": "images",
    "target": "kubernetes",
    "workspaces": [],
}


@dataclass
class Project:
    """A platform's project, of which no object is made.

    Attributes:
        root: its folder.
        names: what nodes need, as it is called here.
    """

    root: Path
    names: list[str]

    @classmethod
    def at(cls, root: Path) -> Project:
        """Make one with the shipped catalogue, but for an image that no other run has built."""
        place = root / "infrastructure"
        (place / "services").mkdir(parents=True)
        shipped = ROOT / "infrastructure"
        for each in (*shipped.iterdir(), *(shipped / "services").iterdir()):
            target = place / each.relative_to(shipped)
            if each.name not in ("secrets", "services", NEW):
                target.symlink_to(each)
        shutil.copytree(shipped / "services" / NEW, place / "services" / NEW)
        with (place / "services" / NEW / "Dockerfile").open("a") as dockerfile:
            dockerfile.write(f"LABEL dap.test={uuid.uuid4()}\n")
        (root / "environments").symlink_to(ROOT / "environments")
        return cls(root, [])

    def write(self, registry: dict[str, Any]) -> None:
        """Write its settings."""
        whole: dict[str, Any] = {**SETTINGS, "cluster": {"context": "none", "slots": 0}}
        settings = Settings.model_validate(whole)
        images = make_plan(settings, read_catalogue(self.root)).service_host.images
        others = {each.name for each in images} - BUILT - {"builder"}
        whole["images"] = {"overrides": {name: f"registry.test/{name}:1" for name in others}}
        whole["cluster"]["registry"] = registry
        (self.root / "platform.yml").write_text(yaml.safe_dump(whole))
        self.names = sorted(each.reference for each in images if each.name in BUILT)

    def dap(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run `dap` there; its status is the caller's."""
        program = str(Path(sys.executable).with_name("dap"))
        key = str(self.root / "key")
        return tried(self.root, program, *arguments, given=given, DAP_VAULT_KEY_FILE=key)

    def images(self, *arguments: str) -> dict[str, Any]:
        """What `dap images` says as JSON.

        Raises:
            AssertionError: it failed.
        """
        done = self.dap("images", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project without a registry, whose images are built on this machine."""
    made = Project.at(tmp_path_factory.mktemp("project"))
    made.write({})
    (new,) = (name for name in made.names if name.startswith(f"dap/{NEW}:"))
    client = docker.from_env()
    assert not client.images.list(new)
    assert made.images() == {"ok": True, "images": made.names, "pushed": []}
    assert client.images.list(new)
    yield made
    client.images.remove(new)


@pytest.fixture(scope="module")
def address(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry where Docker asks for a certificate that it trusts; it knows `pusher`."""
    image = next(name for name in project.names if name.startswith("dap/registry:"))
    with serving(image, tmp_path_factory.mktemp("registry"), pusher="sesame") as registry:
        shutil.copy(registry.ca, project.root / "ca.pem")
        yield registry.address


@pytest.fixture(scope="module")
def pushing(project: Project, address: str) -> Iterator[Project]:
    """The project with that registry, its password in the vault; Docker does not trust it yet."""
    project.write({"address": f"{address}/team", "push_user": "pusher", "ca": "ca.pem"})
    secret = project.dap("secret", "cluster/registry-push-password", given="sesame")
    assert secret.returncode == 0, secret.stderr
    yield project
    shutil.rmtree(CERTIFICATES / address, ignore_errors=True)
    client = docker.from_env()
    for name in project.names:
        tagged = f"{address}/team/{name}"
        if client.images.list(tagged):
            client.images.remove(tagged)


def test_what_docker_does_not_trust_is_told_with_what_helps(pushing: Project, address: str) -> None:
    done = pushing.dap("images")
    assert done.returncode == 1
    assert "x509" in done.stderr
    assert f"sudo install -D -m 0644 ca.pem {CERTIFICATES}/{address}/ca.crt" in done.stderr
    assert "sesame" not in done.stdout + done.stderr


def test_what_is_not_there_is_pushed_once(pushing: Project, address: str) -> None:
    place = CERTIFICATES / address
    place.mkdir(parents=True)
    shutil.copy(pushing.root / "ca.pem", place / "ca.crt")
    there = [f"{address}/team/{name}" for name in pushing.names]
    assert pushing.images("--names") == {"ok": True, "images": there, "pushed": []}
    assert pushing.images() == {"ok": True, "images": there, "pushed": there}
    assert pushing.images() == {"ok": True, "images": there, "pushed": []}
    assert not (pushing.root / ".dap" / "images").exists()
    login = Path.home() / ".docker" / "config.json"
    assert not login.exists() or address not in login.read_text(), "no login is left"


def test_a_file_for_nodes_has_each_image_under_the_name_that_pods_know(
    pushing: Project, address: str, tmp_path: Path
) -> None:
    file = tmp_path / "images.tar"
    pushing.images("--save", str(file))
    with tarfile.open(file) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        found = [name for each in json.load(manifest) for name in each["RepoTags"]]
    assert sorted(found) == [f"{address}/team/{name}" for name in pushing.names]


def test_a_password_that_is_wrong_is_told_and_nothing_is_built(pushing: Project) -> None:
    pushing.dap("secret", "cluster/registry-push-password", given="other").check_returncode()
    done = pushing.dap("images")
    assert done.returncode == 1
    assert "answered 401" in done.stderr
    assert "see that pusher may push there" in done.stderr
    pushing.dap("secret", "cluster/registry-push-password", given="sesame").check_returncode()
