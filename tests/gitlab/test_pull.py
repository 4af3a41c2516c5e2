"""What a cluster beside hosts pulls images with may do nothing else, and goes with the cluster."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from dap.plan import Plan, make_plan, secret_specs
from dap.render import render
from dap.settings import Settings

from demo.project import run
from tests import certificates
from tests.gitlab.forge import catalogue
from tests.unit.cluster.conftest import BESIDE, AnyVault

NAME = "dap-pull"
SERVICES = ("registry", "nginx-proxy")
IMAGE = "environments/none"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
GPU, FAR = ({"name": name, "context": name} for name in ("gpu", "far"))
PULLER = "cluster_gpu"
UPLOAD = "8b0f2f0e-6a0c-4c5e-9d3b-0d8a4c0b1f11"


class Vault(AnyVault):
    """As the one it is from, with a certificate that a client may trust."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(dict(secret_specs(plan)))
        self.authority = certificates.authority("tests")
        signed = certificates.server([plan.settings.domain, "*.dap.test"], self.authority)
        self._own = {
            "tls/ca-certificate": certificates.pem([self.authority]),
            "tls/certificate": certificates.pem([signed]),
            "tls/key": certificates.key_pem(signed),
        }

    def get(self, name: str, /) -> str:
        """Return a secret."""
        return self._own.get(name) or super().get(name)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


@dataclass
class Served:
    """The registry and the proxy of a platform, and nothing else of it."""

    folder: Path
    ports: dict[str, int]

    def bring(self, *listed: dict[str, Any]) -> None:
        """Have them as a deploy to these clusters does."""
        given = {**BESIDE, "name": NAME, "address": "127.0.0.1", "ports": self.ports}
        plan = make_plan(Settings.model_validate({**given, "clusters": list(listed)}), catalogue())
        self.vault = Vault(plan)
        tree = next(tree for tree in render(plan, self.vault) if tree.host == "local")
        tree.write(self.folder, secrets=True)
        for file in tree.files:
            os.chown(self.folder / file.path, file.uid, file.uid)
        self.compose("up", "--detach", "--wait", "--no-build", "--pull", "never", *SERVICES)
        authority = self.folder / "authority.pem"
        authority.write_text(self.vault.get("tls/ca-certificate"))
        self._pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            self.ports["https"],
            ca_certs=str(authority),
            server_hostname="registry.dap.test",
            assert_hostname="registry.dap.test",
            retries=False,
        )

    def compose(self, *arguments: str) -> None:
        """Run Docker Compose over the tree."""
        run("docker", "compose", "--project-directory", str(self.folder), *arguments)

    def ask(
        self,
        login: str,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/octet-stream",
    ) -> urllib3.BaseHTTPResponse:
        """Ask the registry by its public name, as NAME:PASSWORD."""
        headers = {"Host": f"registry.dap.test:{self.ports['https']}", "Content-Type": kind}
        headers |= urllib3.make_headers(basic_auth=login) if login else {}
        return self._pool.request(method, path, body=body, headers={**headers, "Accept": MANIFEST})

    def push(self, login: str) -> str:
        """Push an image that has nothing; its digest."""
        content = b"{}"
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = self.ask(login, "POST", f"/v2/{IMAGE}/blobs/uploads/")
        assert begun.status == 202, begun.data
        place = begun.headers["Location"]
        put = self.ask(login, "PUT", f"{place}&digest={digest}", content)
        assert put.status == 201, put.data
        blob = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": []}
        text = json.dumps(manifest).encode()
        put = self.ask(login, "PUT", f"/v2/{IMAGE}/manifests/latest", text, MANIFEST)
        assert put.status == 201, put.data
        return digest

    def login(self, account: str, secret: str) -> str:
        """The login of an account."""
        return f"{account}:{self.vault.get(secret)}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    names = ("http", "https", "ssh", "postgres", "workspaces")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    made = Served(tmp_path_factory.mktemp(NAME), ports)
    try:
        made.bring(GPU, FAR)
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "1")


@pytest.fixture(scope="module")
def digest(served: Served) -> str:
    """Of a blob that the platform itself has pushed."""
    return served.push(served.login("platform_admin", "registry/admin-password"))


@pytest.mark.parametrize("cluster", ["gpu", "far"])
def test_each_cluster_pulls_by_an_account_of_its_own(
    served: Served, digest: str, cluster: str
) -> None:
    login = served.login(f"cluster_{cluster}", f"registry/pull-{cluster}")
    assert served.ask(login, "GET", "/v2/").status == 200
    for method in ("HEAD", "GET"):
        assert served.ask(login, method, f"/v2/{IMAGE}/manifests/latest").status == 200
        assert served.ask(login, method, f"/v2/{IMAGE}/blobs/{digest}").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v2/{IMAGE}/blobs/uploads/"),
        ("POST", f"/v2/other/blobs/uploads/?from={IMAGE}&mount=sha256:0"),
        ("PATCH", f"/v2/{IMAGE}/blobs/uploads/{UPLOAD}"),
        ("PUT", f"/v2/{IMAGE}/blobs/uploads/{UPLOAD}"),
        ("PUT", f"/v2/{IMAGE}/manifests/latest"),
        ("DELETE", f"/v2/{IMAGE}/manifests/sha256:{'0' * 64}"),
    ],
)
def test_it_writes_nothing_and_is_told_why(
    served: Served, digest: str, method: str, path: str
) -> None:
    answer = served.ask(served.login(PULLER, "registry/pull-gpu"), method, path, b"{}")
    assert (answer.status, answer.headers["Content-Type"]) == (403, "application/json")
    # What a client of a registry prints: denied: this account may only pull.
    (error,) = answer.json()["errors"]
    assert error == {"code": "DENIED", "message": "this account may only pull"}
    login = served.login("platform_admin", "registry/admin-password")
    assert served.ask(login, "GET", f"/v2/{IMAGE}/blobs/{digest}").status == 200


@pytest.mark.parametrize("login", ["", f"{PULLER}:wrong", "cluster_none:wrong"])
def test_without_its_password_nothing_is_read(served: Served, digest: str, login: str) -> None:
    assert served.ask(login, "GET", f"/v2/{IMAGE}/blobs/{digest}").status == 401


def test_users_push_as_before(served: Served) -> None:
    served.push(served.login("admin", "users/admin/password"))


def test_the_account_of_a_cluster_goes_with_it(served: Served, digest: str) -> None:
    gpu, far = (served.login(f"cluster_{name}", f"registry/pull-{name}") for name in ("gpu", "far"))
    served.bring(FAR)
    assert served.ask(gpu, "GET", f"/v2/{IMAGE}/blobs/{digest}").status == 401
    assert served.ask(gpu, "POST", f"/v2/{IMAGE}/blobs/uploads/").status == 403
    assert served.ask(far, "GET", f"/v2/{IMAGE}/blobs/{digest}").status == 200
