"""What only the host can refuse: one message, exit status 2, and nothing is changed on it."""

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.project import clean_environment
from tests.demo.conftest import OTHER, Platform

Refused = Callable[..., str]


@pytest.fixture
def refused(platform: Platform, other: Path, tmp_path: Path) -> Refused:
    """Deploys the second project after an edit; what was said on being refused."""
    home = tmp_path / "home"
    home.mkdir()
    dap = platform.project.path / ".venv" / "bin" / "dap"

    def run(old: str = "", new: str = "") -> str:
        file = other / "platform.yml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        before = Path("/etc/hosts").read_text()
        done = subprocess.run(
            [str(dap), "--project", str(other), "deploy"],
            capture_output=True,
            text=True,
            check=False,
            env={**clean_environment(), "HOME": str(home)},
        )
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert not (other / "infrastructure" / "secrets" / "vault.yml").exists()
        assert list(home.rglob("*.key")) == []
        assert not Path("/srv/dap", OTHER).exists()
        label = f"com.docker.compose.project={OTHER}"
        assert platform.docker.containers.list(all=True, filters={"label": label}) == []
        assert platform.docker.volumes.list(filters={"label": label}) == []
        assert Path("/etc/hosts").read_text() == before
        return said

    return run


def test_a_port_in_use(platform: Platform, ports: list[int], refused: Refused) -> None:
    address = platform.project.address
    with socket.create_server((address, ports[1])):
        said = refused()
    assert f"port {ports[1]} on {address} is in use by " in said
    assert "change ports or address in platform.yml" in said


def test_a_port_of_another_platform(platform: Platform, ports: list[int], refused: Refused) -> None:
    said = refused(str(ports[2]), str(platform.project.ssh_port))
    assert f"port {platform.project.ssh_port} on " in said
    assert f"is in use by container {platform.name}-nginx-proxy" in said


def test_more_than_the_host_has(refused: Refused) -> None:
    said = refused("cpus: 2, memory: 4g", "cpus: 1000, memory: 900000g")
    assert "admin-python asks for 1000 cpus, there are " in said
    assert "admin-python asks for 921600000 MiB of memory, " in said
    assert "lower it in platform.yml: the workspace admin-python" in said


def test_more_gpus_than_the_host_has(refused: Refused) -> None:
    said = refused("cpus: 2, memory: 4g", "cpus: 2, memory: 4g, gpus: 64")
    assert "admin-python: gpus: asks for 64 GPUs, " in said
    said = refused("slots: 2", "slots: 2, gpus: [63]")
    assert "jobs of host local: gpus: no GPU 63; " in said
    assert " gpus " in said[said.index("no GPU 63") :]


def test_a_platform_of_another_project_is_not_destroyed(platform: Platform, tmp_path: Path) -> None:
    stranger = tmp_path / "project"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".dap", "vault.yml")
    shutil.copytree(platform.project.path, stranger, ignore=unwanted)
    dap = platform.project.path / ".venv" / "bin" / "dap"
    label = f"com.docker.compose.project={platform.name}"
    before = {each.id for each in platform.docker.containers.list(filters={"label": label})}
    done = subprocess.run(
        [str(dap), "--project", str(stranger), "destroy", "--delete-data", platform.name],
        capture_output=True,
        text=True,
        check=False,
        env={**clean_environment(), "HOME": str(tmp_path)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "holds the platform of another project" in said
    assert {each.id for each in platform.docker.containers.list(filters={"label": label})} == before
