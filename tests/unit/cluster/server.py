"""An API server that has what a test says and looks at nothing: for what is asked, not done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

Thing = dict[str, Any]
ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubject"


@dataclass
class Server:
    """What it has, and what was asked.

    Attributes:
        things: path of a list or an object → it; a list of things, or None: it is forbidden.
        rules: what the account may in the namespace.
        wide: what it may beyond these: verb and resource.
        asked: method and path of each request.
        fails: status of all answers; 0: as there is something or not.
    """

    things: dict[str, Any] = field(default_factory=dict)
    rules: list[Thing] = field(default_factory=lambda: [ALL])
    wide: set[str] = field(default_factory=lambda: {"create namespaces", "get namespaces"})
    asked: list[tuple[str, str]] = field(default_factory=list)
    fails: int = 0

    def answer(self, method: str, path: str, body: Thing) -> tuple[int, Thing]:
        """Status and content of an answer."""
        self.asked.append((method, path))
        if self.fails:
            return self.fails, {"kind": "Status"}
        if path == f"{_REVIEW}rulesreviews":
            return 201, {"status": {"resourceRules": self.rules, "incomplete": True}}
        if path == f"{_REVIEW}accessreviews":
            asked = body["spec"]["resourceAttributes"]
            return 201, {"status": {"allowed": f"{asked['verb']} {asked['resource']}" in self.wide}}
        found = self.things.get(path, ...)
        if found is None:
            return 403, {"kind": "Status", "reason": "Forbidden"}
        if isinstance(found, list):
            return 200, {"items": found}
        return (404, {"kind": "Status"}) if found is ... else (200, found)


@contextmanager
def serving(server: Server, folder: Path) -> Iterator[Path]:
    """Yield a kubeconfig whose context `here` leads to a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            given = json.loads(self.rfile.read(length) or b"{}")
            status, content = server.answer(self.command, self.path.partition("?")[0], given)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = do_DELETE = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class
            """Say nothing."""

    basics: Thing = {
        "/version": {"major": "1", "minor": "34"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "resources": []},
    }
    server.things = basics | server.things
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    place = f"http://127.0.0.1:{httpd.server_address[1]}"
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": place}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    try:
        yield path
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
