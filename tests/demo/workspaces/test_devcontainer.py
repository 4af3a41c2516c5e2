"""The project opens in a container of a person's own machine: the same image, the same clients."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.project import clean_environment
from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client
from tests.paths import ROOT

TOOL = ROOT / "tests" / "tools" / "devcontainer"
TIMEOUT_S = 180
MINE = "admin-python"


@pytest.fixture(scope="module")
def devcontainer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the Dev Containers CLI."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed here, which brings @devcontainers/cli")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TOOL / name, folder)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return str(folder / "node_modules" / ".bin" / "devcontainer")


class Opened:
    """A project in its development container."""

    def __init__(self, command: str, folder: Path) -> None:
        self._command = command
        self._folder = folder

    def ask(self, verb: str, *arguments: str) -> str:
        """Run a verb of the CLI; its output."""
        done = subprocess.run(
            [self._command, verb, "--workspace-folder", str(self._folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            env={**clean_environment(), "COMPOSE_PROJECT_NAME": "dap-test-devcontainer"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def result(self, verb: str) -> dict[str, Any]:
        """Run a verb; the JSON that it ends with."""
        found: dict[str, Any] = json.loads(self.ask(verb).strip().splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def opened(devcontainer: str, platform: Platform) -> Iterator[Opened]:
    """The demo's project; its container is removed afterwards."""
    yield Opened(devcontainer, platform.project.path)
    label = "label=com.docker.compose.project=dap-test-devcontainer"
    for kind in ("container", "network"):
        listing = ["docker", kind, "ls", "--quiet", "--filter", label]
        found = subprocess.run(
            [*listing, "--all"] if kind == "container" else listing,
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        force = ["--force"] if kind == "container" else []
        if found:
            subprocess.run(["docker", kind, "rm", *force, *found], check=True, capture_output=True)
    for image in platform.docker.images.list():
        for tag in image.tags:
            if tag == "dap-devcontainer:python" or tag.startswith("vsc-platform-"):
                platform.docker.images.remove(tag)


def test_the_configuration_is_read(opened: Opened) -> None:
    found = opened.result("read-configuration")["configuration"]
    assert (found["service"], found["remoteUser"]) == ("python", "analyst")
    assert found["dockerComposeFile"] == "compose.yml"


def test_it_is_the_workspaces_image_with_the_analysts_clients(
    opened: Opened, platform: Platform, admin: Client
) -> None:
    secrets = platform.project.path / ".devcontainer" / "secrets"
    given = secrets / "client.json"
    given.write_text(admin.said(MINE, "cat /run/secrets/client.json"))
    given.chmod(0o600)
    os.chown(given, 1000, 1000)
    try:
        assert "client.json" not in platform.project.git("status", "--porcelain", "--ignored=no")
        identifier = opened.result("up")["containerId"]
        container = platform.docker.containers.get(identifier)
        workspace = platform.container(MINE)
        assert container.image is not None
        assert workspace.image is not None
        theirs = workspace.image.attrs["RootFS"]["Layers"]
        # On Linux one layer more gives the user the number that it has outside.
        layers = container.image.attrs["RootFS"]["Layers"]
        assert layers[: len(theirs)] == theirs
        assert len(layers) <= len(theirs) + 1
        script = (
            "id -un; python -c 'import mlflow; print(mlflow.get_tracking_uri())'; echo $PGHOST;"
            "ls platform.yml; grep -c BEGIN $SSL_CERT_FILE"
        )
        said = opened.ask("exec", "bash", "-c", script).splitlines()
        domain = platform.domain
        assert said[:4] == [
            "analyst",
            f"https://mlflow.{domain}",
            f"postgres.{domain}",
            "platform.yml",
        ]
        assert int(said[4]) > 50
    finally:
        given.unlink()
