"""Runs an environment's image as a workspace and as a job, for the tests of all environments."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import CLIENT, LABEL, PASSWORD, Workspace, archive, lineage, run, wait

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", help="reference of the environment's image")
    parser.addoption(
        "--environment", help="name of the environment: its tests and those of what it starts from"
    )
    parser.addoption(
        "--tool",
        choices=("docker", "buildah"),
        default="docker",
        help="what runs the image; with buildah, in a pipeline, as a job alone",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests of environments that the chosen one does not start from."""
    name = config.getoption("--environment")
    place = collection_path.relative_to(HERE).parts if collection_path != HERE else ()
    if not name or not place or not (HERE / place[0]).is_dir():
        return None
    return True if place[0] not in lineage(HERE, name) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a parent's tests say of the parent's image alone."""
    name = config.getoption("--environment")
    inherited = [
        item
        for item in items
        if name and item.get_closest_marker("own") and item.path.relative_to(HERE).parts[0] != name
    ]
    if inherited:
        config.hook.pytest_deselected(items=inherited)
        items[:] = [item for item in items if item not in inherited]


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    name = request.config.getoption("--image")
    if not name:
        pytest.skip("no image given: pytest --image REFERENCE")
    return str(name)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("ca")
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-subj", "/CN=platform", "-keyout", str(folder / "key"), "-out", str(folder / "ca")),
    )
    return (folder / "ca").read_text(encoding="ascii")


@pytest.fixture(scope="session")
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--tool"))


@pytest.fixture(scope="session")
def workspace(
    image: str, certificate: str, tool: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    if tool != "docker":
        pytest.skip("a workspace needs Docker's engine: these run where images are deployed")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    client = {**CLIENT, "files": {**CLIENT["files"], "DAP_CA_CERTIFICATE": certificate}}
    name = f"dap-test-{uuid.uuid4().hex[:8]}"
    volume = ("-v", f"{name}:/run/secrets")
    try:
        run("docker", "volume", "create", "--label", LABEL, name)
        run(
            *("docker", "run", "--rm", "-i", "--label", LABEL, "--user", "0", *volume),
            *("--entrypoint", "tar", image, "-x", "-C", "/run/secrets"),
            stdin=archive(
                {
                    "ssh-host-key": (folder / "host").read_bytes(),
                    "authorized-keys": (folder / "user.pub").read_bytes(),
                    "client.json": json.dumps(client).encode(),
                    "jupyter-password": PASSWORD.encode(),
                }
            ),
        )
        run(
            *("docker", "run", "-d", "--name", name, "--label", LABEL, *volume, "--read-only"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("--tmpfs", "/tmp:exec,mode=1777", "-p", "127.0.0.1::2222"),
            *("--tmpfs", "/run/dap:mode=0700,uid=1000,gid=1000", "-v", "/home/analyst"),
            *(image, "dap-workspace"),
        )
        wait(lambda: run("docker", "exec", name, "dap-health"))
        port = run("docker", "port", name, "2222").strip().rpartition(":")[2]
        options = (
            *("-F", "none", "-i", str(folder / "user"), "-o", "LogLevel=ERROR"),
            *("-o", "StrictHostKeyChecking=accept-new"),
            *("-o", f"UserKnownHostsFile={folder / 'known'}"),
        )
        yield Workspace(name, port, options)
    finally:
        run("docker", "rm", "--force", "--volumes", name)
        run("docker", "volume", "rm", "--force", name)


@pytest.fixture
def job(image: str, certificate: str, tool: str, tmp_path: Path) -> Callable[[str], str]:
    """Return what runs a script as a job: variables in the environment, files readable by all."""
    (tmp_path / "pass").write_text("p:5432:*:me:secret\n", encoding="ascii")
    (tmp_path / "ca").write_text(certificate, encoding="ascii")
    tmp_path.chmod(0o755)
    for file in tmp_path.iterdir():
        file.chmod(0o666)

    options = ["-v", f"{tmp_path}:/files:ro"]
    for variable in ("PGPASSFILE=/files/pass", "DAP_CA_CERTIFICATE=/files/ca"):
        options += ["-e", variable]
    runs = {"docker": run_by_docker, "buildah": run_by_buildah}[tool]
    return lambda script: runs(image, options, script.encode())


def run_by_docker(image: str, options: list[str], script: bytes) -> str:
    start = ["docker", "run", "--rm", "-i", "--label", LABEL, *options]
    return run(*start, image, "sh", "-c", "exec bash", stdin=script)


def run_by_buildah(image: str, options: list[str], script: bytes) -> str:
    container = run("buildah", "from", image).strip()
    try:
        described = json.loads(run("buildah", "inspect", container))
        # Unlike docker, `buildah run` leaves the image's own way to start a command to its caller.
        entry = described["OCIv1"]["config"].get("Entrypoint") or []
        start = ["buildah", "run", *options, container, "--", *entry]
        return run(*start, "sh", "-c", "exec bash", stdin=script)
    finally:
        run("buildah", "rm", container)
