"""The HTTP server: finds the endpoint, checks who asks and what for, records, answers."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.gitlab.standin import accounts, projects, runners  # noqa: F401  they register
from tests.gitlab.standin.routes import Answer, Call, Endpoint, Refusal, check, find
from tests.gitlab.standin.state import State

# GitLab's proxy answers so while what stands behind it starts.
STARTING = b"<html><body><h1>502</h1>GitLab is not responding</body></html>"
SIGN_IN = b"<html><title>Sign in - GitLab</title></html>"
SECRET = ("password", "token", "value")


@dataclass
class Standin:
    """State and behaviour; one request at a time.

    `starting`: so many requests are answered by 502 first. `die_after`: a pattern of METHOD PATH;
    the process ends after the change of such a request and before its answer.
    """

    state: State
    file: Path
    requests: Path | None = None
    starting: int = 0
    die_after: str = ""
    lock: Lock = field(default_factory=Lock)

    def answer(
        self, method: str, target: str, headers: dict[str, str], raw: bytes, host: str
    ) -> Answer:
        """Return the answer to a request."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if self.starting > 0:
            self.starting -= 1
            return Answer(502, STARTING)
        if url.path == "/users/sign_in":
            return Answer(200, SIGN_IN)
        try:
            endpoint, ids = find(method, url.path)
            body = {} if endpoint.raw else _json(raw)
            self._record(method, url.path, query, body)
            self._admit(endpoint, ids, headers, body)
            check(endpoint, query, body)
            base = f"http://{host}{url.path}"
            call = Call(self.state, ids, query, body, raw, headers, base)
            answer = endpoint.handler(call)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)
        if method != "GET":
            self.state.save(self.file)
        if self.die_after and re.fullmatch(self.die_after, f"{method} {url.path}"):
            os._exit(137)
        return answer

    def _admit(
        self, endpoint: Endpoint, ids: list[str], headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        if endpoint.auth == "admin":
            token = self.state.tokens.get(headers.get("PRIVATE-TOKEN", ""))
            today = datetime.now(UTC).date()
            if (
                token is None
                or token["revoked"]
                or date.fromisoformat(token["expires_at"]) <= today
            ):
                raise Refusal(401, {"message": "401 Unauthorized"})
        if endpoint.auth == "job":
            job = self.state.jobs.get(ids[0])
            if job is None:
                raise Refusal(404, {"message": "404 Not found"})
            if job.get("token") not in (headers.get("JOB-TOKEN"), body.get("token")):
                raise Refusal(403, {"message": "403 Forbidden"})

    def _record(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: dict[str, Any],
    ) -> None:
        """Write the request down: METHOD PATH QUERY BODY, without what is secret."""
        if self.requests is None:
            return
        shown = {key: "…" if key in SECRET else value for key, value in body.items()}
        parts = [method, path, json.dumps(query, sort_keys=True), json.dumps(shown, sort_keys=True)]
        with self.requests.open("a", encoding="utf-8") as stream:
            stream.write(" ".join(parts) + "\n")


def _json(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        raise Refusal(400, {"error": "the body is no JSON"}) from None
    if not isinstance(body, dict):
        raise Refusal(400, {"error": "the body is no JSON object"})
    return body


class Handler(BaseHTTPRequestHandler):
    """Passes requests on."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet: in two, each answer waits for the other side's delayed reply.
    wbufsize = 1 << 16
    server: Server

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        standin = self.server.standin
        with standin.lock:
            host = self.headers.get("Host", "")
            answer = standin.answer(self.command, self.path, _names(self.headers), raw, host)
        body = answer.body
        if isinstance(body, bytes):
            kind = "text/html" if body.startswith(b"<") else "application/octet-stream"
        else:
            kind = "application/json"
            body = b"" if answer.status == 204 else json.dumps(body).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  the base class names them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing: what was asked is in the file of requests."""


def _names(headers: Any) -> dict[str, str]:
    known = ("PRIVATE-TOKEN", "JOB-TOKEN", "Content-Range")
    return {name: headers[name] for name in known if headers.get(name)}


class Server(ThreadingHTTPServer):
    """The server with its stand-in."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], standin: Standin) -> None:
        super().__init__(address, Handler)
        self.standin = standin
