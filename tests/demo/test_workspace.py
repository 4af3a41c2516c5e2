"""The demo's workspace; tests/demo/workspaces tries more of them with all kinds of clients."""

import subprocess
from pathlib import Path

import pytest
import requests

from demo.access import SYSTEM_CA
from demo.project import ADMIN
from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client, client

WORKSPACE = "admin-python"


@pytest.fixture(scope="module")
def admin(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The demo's user."""
    folder = tmp_path_factory.mktemp("ssh")
    return client(platform.project, folder, ADMIN, platform.project.key)


def test_the_registered_model_has_its_signature(admin: Client) -> None:
    model = "models:/breast-cancer@champion"
    code = f"import mlflow; print(mlflow.models.get_model_info('{model}').signature.to_dict())"
    assert "mean_radius" in admin.said(WORKSPACE, "python", "-c", f'"{code}"')


def test_a_key_of_nobody_is_refused(platform: Platform, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    ports = platform.plan["settings"]["ports"]
    for port, target in ((ports["workspaces"], "jump@workspaces"), (ports["ssh"], "git@git")):
        options = [o for o in platform.project.ssh_options if "IdentityFile" not in o]
        command = [
            "ssh", *options, "-i", str(key), "-p", str(port), f"{target}.{platform.domain}", "true",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr


def test_git_gives_no_shell(platform: Platform) -> None:
    command = ["ssh", *platform.project.ssh_options, "-p", "2222", f"git@git.{platform.domain}"]
    done = subprocess.run(
        [*command, "cat", "/etc/passwd"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "root:" not in done.stdout


def test_jupyter_refuses_a_wrong_password(platform: Platform) -> None:
    route = next(r for r in platform.plan["routes"] if WORKSPACE in r["name"])
    answer = requests.get(f"{route['url']}/api/kernels", verify=str(SYSTEM_CA), timeout=30)
    assert answer.status_code in {401, 403}


def test_workspace_and_job_are_the_same_image_by_digest(platform: Platform) -> None:
    container = next(c for name, c in platform.containers().items() if WORKSPACE in name)
    assert container.image is not None
    digests = {reference.rpartition("@")[2] for reference in container.image.attrs["RepoDigests"]}
    digest = platform.outcome.tags["image"].rpartition("@")[2]
    assert digest in digests, f"{ADMIN}'s workspace runs {digests}, the job ran in {digest}"
