"""Which images nodes need, what the registry lacks of them, and what helps who can't pull."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dap.catalogue import read_catalogue
from dap.engine import Prepared
from dap.errors import DapError
from dap.plan import make_plan, secret_specs
from dap.secrets import Vault
from dap.settings import ClusterRegistry, Settings
from dap.stack import needed_images
from dap.stack.images import lacking, look_as_nodes
from dap.stack.pulls import remedy

from tests.certificates import authority, server, write
from tests.paths import ROOT
from tests.unit.cluster.conftest import ON_CLUSTER

LOGIN = "cHVzaGVyOnNlc2FtZQ=="  # pusher:sesame
TOKEN = "of-the-token-service"


@dataclass
class Standin:
    """A registry that has what a test says, to who asks as it wants to be asked."""

    address: str
    certificate: Path
    images: set[str] = field(default_factory=set)
    tokens: bool = False
    asked: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        path, given = request.path, request.headers.get("Authorization", "")
        self.asked.append(path)
        if path.startswith("/token?"):
            known = given == f"Basic {LOGIN}"
            return (200 if known else 401), {}, json.dumps({"token": TOKEN}).encode()
        wanted = f"Bearer {TOKEN}" if self.tokens else f"Basic {LOGIN}"
        if given != wanted:
            realm = f'realm="https://{self.address}/token",service="here",scope="pull"'
            return 401, {"WWW-Authenticate": f"Bearer {realm}" if self.tokens else "Basic"}, b""
        name, tag = path.removeprefix("/v2/").split("/manifests/")
        return (200 if f"{name}:{tag}" in self.images else 404), {"Docker-Content-Digest": "d"}, b""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Standin]:
    issuer = authority("CA")
    write(tmp_path, [server(["localhost"], issuer), issuer])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_HEAD()

        def do_HEAD(self) -> None:
            status, headers, body = made.answer(self)
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # In the handler's thread, which closes what comes of a client that does not trust it.
    httpd.socket = context.wrap_socket(
        httpd.socket, server_side=True, do_handshake_on_connect=False
    )
    made = Standin(f"localhost:{httpd.server_address[1]}", tmp_path / "c.pem")
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def prepared(tmp_path: Path, registry: dict[str, Any], **more: Any) -> Prepared:
    cluster = {**ON_CLUSTER["cluster"], "registry": registry}
    settings = Settings.model_validate({**ON_CLUSTER, "cluster": cluster, **more})
    plan = make_plan(settings, read_catalogue(ROOT))
    names = dict.fromkeys(secret_specs(plan), "sesame")
    vault = Vault(tmp_path / "vault.yml", "test", b"key", b"", names)
    return Prepared(tmp_path, plan, vault, (), ())


def test_nodes_need_what_pods_start_from_and_what_is_built_alone(tmp_path: Path) -> None:
    plan = prepared(tmp_path, {}).plan
    wanted = needed_images(plan)
    assert plan.images.base.reference in wanted
    assert plan.images.builder.reference not in wanted
    assert plan.images.environment("python") in wanted, "the workspace starts from it"
    used = {each.image for each in plan.service_host.services}
    assert set(wanted) == used | {plan.images.base.reference}
    other = {"overrides": {"minio": "registry.example.org/minio:1"}}
    assert not [
        each for each in needed_images(prepared(tmp_path, {}, images=other).plan) if "minio" in each
    ]


def test_nodes_need_the_environments_of_jobs_that_run_beside_the_platform() -> None:
    jobs = {"forge": "gitlab", "workspaces": []}
    cluster = {**ON_CLUSTER["cluster"], "slots": 2}
    plan = make_plan(
        Settings.model_validate({**ON_CLUSTER, **jobs, "cluster": cluster}), read_catalogue(ROOT)
    )
    wanted = {image.reference for image in plan.images.environments.values()}
    assert wanted
    assert wanted <= set(needed_images(plan))


def test_nodes_that_may_not_pull_are_told_with_whose_password_it_is(
    tmp_path: Path, registry: Standin
) -> None:
    given = {"address": registry.address, "push_user": "pusher", "ca": str(registry.certificate)}
    made = prepared(tmp_path, {**given, "user": "puller"})
    with pytest.raises(DapError, match="answered 401") as refused:
        look_as_nodes(made)
    assert refused.value.hint == (
        "see that puller may pull there; its password: dap secret cluster/registry-password"
    )
    registry.asked.clear()
    look_as_nodes(prepared(tmp_path, given))
    assert registry.asked == [], "anybody may pull"


@pytest.mark.parametrize("tokens", [False, True], ids=["by password", "by token"])
def test_what_the_registry_has_is_not_pushed(
    tmp_path: Path, registry: Standin, tokens: bool
) -> None:
    registry.tokens = tokens
    given = {
        "address": f"{registry.address}/team",
        "user": "puller",
        "push_user": "pusher",
        "ca": str(registry.certificate),
    }
    made = prepared(tmp_path, given)
    wanted = needed_images(made.plan)
    assert lacking(made) == {each: f"{registry.address}/team/{each}" for each in wanted}
    registry.images = {f"team/{each}" for each in wanted[1:]}
    assert lacking(made) == {wanted[0]: f"{registry.address}/team/{wanted[0]}"}


def test_who_may_not_ask_is_told_whose_password_it_is(tmp_path: Path, registry: Standin) -> None:
    given = {"address": registry.address, "user": "other", "ca": str(registry.certificate)}
    with pytest.raises(DapError, match="answered 401") as refused:
        lacking(prepared(tmp_path, given))
    assert refused.value.hint == (
        "see that other may push there; its password: dap secret cluster/registry-password"
    )


def test_a_registry_of_an_unknown_ca_is_refused_with_the_key_that_names_it(
    tmp_path: Path, registry: Standin
) -> None:
    with pytest.raises(DapError, match="CERTIFICATE_VERIFY_FAILED") as refused:
        lacking(prepared(tmp_path, {"address": registry.address}))
    assert "cluster.registry.ca: FILE" in refused.value.hint
    assert registry.asked == []


def test_a_registry_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DapError, match="does not answer") as refused:
        lacking(prepared(tmp_path, {"address": "localhost:1"}))
    assert refused.value.hint == "see that it answers, and that cluster.registry is right"


def test_a_token_is_not_asked_of_who_does_not_answer_by_tls(
    tmp_path: Path, registry: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.tokens = True
    answer = registry.answer

    def plain(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = answer(request)
        return status, {k: v.replace("https:", "http:") for k, v in headers.items()}, body

    monkeypatch.setattr(registry, "answer", plain)
    given = {"address": registry.address, "user": "a", "ca": str(registry.certificate)}
    with pytest.raises(DapError, match="which is not https"):
        lacking(prepared(tmp_path, given))


REGISTRY = ClusterRegistry(address="registry.example.org/dap", user="puller")
FAILED = (
    'minio: ImagePullBackOff Back-off pulling image "registry.example.org/dap/dap/minio:1": '
    "ErrImagePull: failed to resolve reference: "
)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("minio: ErrImageNeverPull image is not present with pull policy of Never", "make images"),
        (f"{FAILED}tls: x509: certificate signed by unknown authority", "/etc/containerd/certs.d/"),
        (f"{FAILED}pull access denied, authorization failed", "puller may pull there"),
        (f"{FAILED}unexpected status from HEAD request: 401 Unauthorized", "dap secret cluster/"),
        (f"{FAILED}registry.example.org/dap/dap/minio:1: not found", "deploy again"),
        # What may pass by itself, or is not ours, is waited for.
        (f"{FAILED}dial tcp: i/o timeout", ""),
        ("minio: ErrImagePull docker.example.org/minio:1: not found", ""),
        ("minio: CrashLoopBackOff back-off: not found", ""),
    ],
)
def test_what_nodes_can_t_pull_is_told_with_what_helps(why: str, told: str) -> None:
    found = remedy(REGISTRY, why)
    assert told in found
    assert bool(found) == bool(told)
