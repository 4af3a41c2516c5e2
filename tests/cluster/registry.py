"""A registry of images on this machine, with a CA and accounts of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import docker
import yaml

from demo.access import await_result
from tests.certificates import authority, server, write

CERTIFICATES = Path("/etc/docker/certs.d")
LABEL = {"dap.test": "images"}
CONFIG: dict[str, Any] = {
    "version": 0.1,
    "storage": {"filesystem": {"rootdirectory": "/data"}},
    "http": {"addr": ":5000", "tls": {"certificate": "/etc/own/c.pem", "key": "/etc/own/k.pem"}},
    "auth": {"htpasswd": {"realm": "own", "path": "/etc/own/htpasswd"}},
}


@dataclass(frozen=True)
class Serving:
    """A registry that answers: its address and port, and the file of its CA."""

    address: str
    ca: Path

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Have Docker here trust it."""
        place = CERTIFICATES / self.address
        place.mkdir(parents=True)
        try:
            shutil.copy(self.ca, place / "ca.crt")
            yield
        finally:
            shutil.rmtree(place)


@contextmanager
def serving(image: str, folder: Path, **accounts: str) -> Iterator[Serving]:
    """Have a registry at an address that containers of all networks reach, with blank storage.

    Args:
        image: the platform's own of a registry.
        folder: gets its files.
        accounts: name → password; each may pull and push.
    """
    client = docker.from_env()
    gateway = str(client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"])
    issuer = authority("CA")
    write(folder, [server([gateway], issuer), issuer])
    (folder / "config.yml").write_text(yaml.safe_dump(CONFIG))
    lines = [
        f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n"
        for name, password in accounts.items()
    ]
    (folder / "htpasswd").write_text("".join(lines))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    container = client.containers.run(
        image,
        ["docker-registry", "serve", "/etc/own/config.yml"],
        detach=True,
        labels=LABEL,
        ports={"5000/tcp": (gateway, 0)},
        tmpfs={"/data": "mode=1777"},
        volumes={str(folder): {"bind": "/etc/own", "mode": "ro"}},
    )

    def published() -> str | None:
        container.reload()
        ports: list[dict[str, str]] = container.ports.get("5000/tcp") or []
        return ports[0]["HostPort"] if ports else None

    try:
        port = await_result("the registry", published, 30)
        yield Serving(f"{gateway}:{port}", folder / "c.pem")
    finally:
        container.remove(force=True, v=True)
