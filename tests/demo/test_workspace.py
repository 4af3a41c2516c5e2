"""The workspace: SSH, SFTP, port forwarding, Jupyter; the same image as in the pipeline."""

import socket
import subprocess
from pathlib import Path

import pytest
import requests

from demo.access import SYSTEM_CA, await_result
from demo.project import ADMIN
from tests.demo.conftest import Platform

WORKSPACE = "admin-python"
PORT = 2201


def ssh(platform: Platform, *command: str) -> str:
    """Run a command in the workspace over SSH; what it printed."""
    target = f"analyst@{platform.domain}"
    done = subprocess.run(
        ["ssh", *platform.project.ssh_options, "-p", str(PORT), target, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ssh_runs_commands_as_an_ordinary_user(platform: Platform) -> None:
    assert ssh(platform, "id", "-u").strip() == "1000"


def test_the_clients_are_configured(platform: Platform) -> None:
    code = (
        "import mlflow, os, boto3, psycopg;"
        "print(mlflow.MlflowClient().search_experiments()[0].name);"
        "psycopg.connect().execute('select 1');"
        "print(boto3.client('s3').list_objects_v2(Bucket='analysis')['KeyCount'])"
    )
    lines = ssh(platform, "python", "-c", f'"{code}"').splitlines()
    assert len(lines) == 2


def test_the_registered_model_has_its_signature(platform: Platform) -> None:
    model = "models:/breast-cancer@champion"
    code = f"import mlflow; print(mlflow.models.get_model_info('{model}').signature.to_dict())"
    assert "mean_radius" in ssh(platform, "python", "-c", f'"{code}"')


def test_sftp_carries_a_file_there_and_back(platform: Platform, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(bytes(range(256)) * 4096)
    batch = f"put {sent} dap-test\nget dap-test {tmp_path / 'back'}\nrm dap-test\n"
    subprocess.run(
        ["sftp", *platform.project.ssh_options, "-P", str(PORT), "-b", "-",
         f"analyst@{platform.domain}"],
        input=batch, text=True, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_ports_are_forwarded(platform: Platform) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    forward = subprocess.Popen(
        ["ssh", *platform.project.ssh_options, "-N", "-oExitOnForwardFailure=yes",
         "-L", f"127.0.0.1:{port}:127.0.0.1:8888", "-p", str(PORT),
         f"analyst@{platform.domain}"],
    )  # fmt: skip
    try:

        def jupyter() -> int | None:
            try:
                return requests.get(f"http://127.0.0.1:{port}/api", timeout=5).status_code
            except requests.ConnectionError:
                return None

        assert await_result("Jupyter through the tunnel", jupyter, 30) in {200, 401, 403}
    finally:
        forward.terminate()
        forward.wait(timeout=10)


def test_a_key_of_nobody_is_refused(platform: Platform, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    for port, target in ((PORT, f"analyst@{WORKSPACE}"), (2222, "git@git")):
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


@pytest.fixture
def jupyter(platform: Platform) -> tuple[requests.Session, str]:
    """A session that is logged in to Jupyter, and its address."""
    route = next(r for r in platform.plan["routes"] if WORKSPACE in r["name"])
    session = requests.Session()
    session.verify = str(SYSTEM_CA)
    session.get(f"{route['url']}/login", timeout=30)
    answer = session.post(
        f"{route['url']}/login",
        data={"password": platform.project.password, "_xsrf": session.cookies.get("_xsrf", "")},
        timeout=30,
        allow_redirects=False,
    )
    assert answer.status_code == 302, answer.text[:500]
    session.headers["X-XSRFToken"] = session.cookies.get("_xsrf") or ""
    return session, route["url"]


def test_jupyter_starts_a_kernel(jupyter: tuple[requests.Session, str]) -> None:
    session, url = jupyter
    kernel = session.post(f"{url}/api/kernels", json={}, timeout=60)
    assert kernel.status_code == 201, kernel.text
    session.delete(f"{url}/api/kernels/{kernel.json()['id']}", timeout=30).raise_for_status()


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
