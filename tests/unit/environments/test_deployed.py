"""What a pipeline that builds is told of images, by digest or by the tag that a deploy gave."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dap.environments.__main__ import read_deployed
from dap.environments.lock import Locked
from dap.environments.registry import of_job
from dap.registry import Registry

from tests.certificates import authority, server, write

DIGEST = f"sha256:{'1' * 64}"
LOGIN = base64.b64encode(b"analysis:secret").decode()


class Handler(BaseHTTPRequestHandler):
    """A registry with one image, for whoever logs in."""

    def do_HEAD(self) -> None:
        """Answer with the digest of `python:abc`."""
        known = self.path in (
            "/v2/environments/python/manifests/abc",
            f"/v2/environments/python/manifests/{DIGEST}",
        )
        allowed = self.headers["Authorization"] == f"Basic {LOGIN}"
        self.send_response(401 if not allowed else 200 if known else 404)
        self.send_header("Docker-Content-Digest", DIGEST)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry as jobs reach it, over TLS."""
    issuer = authority("CA")
    write(tmp_path, [server(["localhost"], issuer), issuer])
    (tmp_path / "ca.pem").write_text((tmp_path / "c.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    host = f"localhost:{httpd.server_address[1]}"
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    yield of_job(host)
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.parametrize("by", [f"@{DIGEST}", ":abc"])
def test_an_image_is_known_by_its_digest(registry: Registry, by: str) -> None:
    images = {
        "python": {"content": "a" * 12, "image": f"{registry.host}/environments/python{by}"},
        "r": {"content": "b" * 12, "image": f"{registry.host}/environments/r:gone"},
        "other": {"content": "c" * 12, "image": "elsewhere.example/other:1"},
    }
    data = {"base": "base", "builder": "builder", "content": "d" * 12, "environments": images}
    found = read_deployed(data, registry)
    assert found.environments == {"python": Locked("a" * 12, f"environments/python@{DIGEST}")}
    assert (found.base, found.builder, found.content) == ("base", "builder", "d" * 12)


def test_what_the_registry_has_not_is_not_there(registry: Registry) -> None:
    assert registry.has(f"environments/python@{DIGEST}")
    assert not registry.has(f"environments/python@{DIGEST[:-1]}2")
