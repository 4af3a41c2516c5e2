"""The HTTP server: finds the endpoint, checks who asks and what for, records, answers."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from tests.gitlab.standin import (  # noqa: F401  they register
    accounts,
    commits,
    merge_requests,
    pipelines,
    projects,
    runners,
    schedules,
    tokens,
)
from tests.gitlab.standin.internal import admit, log_in
from tests.gitlab.standin.repositories import GIT_PATH, Repositories
from tests.gitlab.standin.routes import Answer, Call, Endpoint, Refusal, check, find
from tests.gitlab.standin.state import State

# GitLab's proxy answers so while what stands behind it starts.
STARTING = b"<html><body><h1>502</h1>GitLab is not responding</body></html>"
SIGN_IN = b"<html><title>Sign in - GitLab</title></html>"
RECORDED = ("python-gitlab/", "dap-reproduce")
SECRET = ("password", "token", "value")
KNOWN = (
    *("PRIVATE-TOKEN", "JOB-TOKEN", "Gitlab-Shell-Secret", "Authorization", "Content-Range"),
    *("Content-Type", "Content-Encoding", "Git-Protocol", "User-Agent"),
)


@dataclass
class Standin:
    """State and behaviour; one request at a time.

    `starting`: so many requests are answered by 502 first. `until`: all are, until then, in
    seconds of the monotonic clock. `die_after`: a pattern of METHOD PATH; the process ends after
    the change of such a request and before its answer; `die_once` is a file that has such a
    pattern and goes before that. `shell_secret` is what the container's programs show,
    `url` how browsers know GitLab.
    """

    state: State
    file: Path
    requests: Path | None = None
    starting: int = 0
    die_after: str = ""
    until: float = 0
    die_once: Path | None = None
    shell_secret: str = ""
    url: str = ""
    repositories: Repositories | None = None
    lock: Lock = field(default_factory=Lock)

    def answer(
        self, method: str, target: str, headers: dict[str, str], raw: bytes, host: str
    ) -> Answer:
        """Return the answer to a request."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if self.is_starting():
            return Answer(502, STARTING)
        if not url.path.startswith("/api/"):
            return page_of(url.path)
        try:
            endpoint, ids = find(method, url.path)
            body = {} if endpoint.raw else _json(raw)
            # Of content and `make reproduce`; people, runners, `make verify` ask for other things.
            if headers.get("User-Agent", "").startswith(RECORDED):
                self._record(method, url.path, query, body)
            self._admit(endpoint, ids, headers, body)
            check(endpoint, query, body)
            base = f"http://{host}{url.path}"
            call = Call(
                self.state, ids, query, body, raw, headers, base, self.url, self.repositories
            )
            answer = endpoint.handler(call)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)
        if method != "GET":
            self.state.save(self.file)
        if self._dies_of(f"{method} {url.path}"):
            os._exit(137)
        # Of a project that was made or is to be served.
        project = answer.body.get("path_with_namespace") if isinstance(answer.body, dict) else None
        if self.repositories and project:
            self.repositories.at(project)
        return answer

    def is_starting(self) -> bool:
        """Whether what stands behind GitLab's proxy does not answer yet."""
        if self.starting > 0:
            self.starting -= 1
            return True
        return time.monotonic() < self.until

    def _dies_of(self, request: str) -> bool:
        pattern = self.die_after
        if self.die_once and self.die_once.exists():
            pattern = self.die_once.read_text().strip()
            if re.fullmatch(pattern, request):
                self.die_once.unlink()
        return bool(pattern and re.fullmatch(pattern, request))

    def git(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> Answer | None:
        """Return the answer of git over HTTP; None where something else is asked for."""
        url = urlsplit(target)
        asked = GIT_PATH.fullmatch(url.path)
        if self.repositories is None or asked is None:
            return None
        action = parse_qs(url.query).get("service", [asked["rest"]])[0]
        with self.lock:
            if self.is_starting():
                return Answer(502, STARTING)
            who = log_in(self.state, *_credentials(headers))
            if who is None:
                challenge = {"WWW-Authenticate": 'Basic realm="GitLab"'}
                return Answer(401, b"HTTP Basic: Access denied\n", challenge)
            try:
                admit(self.state, who, asked["project"], action, [])
            except Refusal as refusal:
                return Answer(refusal.status, refusal.body)
        request = {
            "REQUEST_METHOD": method,
            "PATH_INFO": f"/{asked['project']}.git/{asked['rest']}",
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(raw)),
            "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
        }
        # Not under the lock: hooks of a push ask the API.
        return Answer(*_as_answer(self.repositories.serve(asked["project"], who, request, raw)))

    def _admit(
        self, endpoint: Endpoint, ids: list[str], headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        shown = headers.get("PRIVATE-TOKEN", "")
        known = self.state.is_good(shown) or (
            endpoint.auth == "project" and shown in self.state.project_tokens
        )
        if endpoint.auth in ("admin", "project") and not known:
            raise Refusal(401, {"message": "401 Unauthorized"})
        if endpoint.auth == "shell":
            given = headers.get("Gitlab-Shell-Secret", "")
            if not (self.shell_secret and hmac.compare_digest(given, self.shell_secret)):
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
        raw = self._body()
        standin = self.server.standin
        names = _names(self.headers)
        answer = standin.git(self.command, self.path, names, raw)
        if answer is None:
            with standin.lock:
                host = self.headers.get("Host", "")
                answer = standin.answer(self.command, self.path, names, raw, host)
        body = answer.body
        if isinstance(body, bytes):
            kind = "text/html" if body.startswith(b"<") else "application/octet-stream"
        else:
            kind = "application/json"
            body = b"" if answer.status == 204 else json.dumps(body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": kind, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  the base class names them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing: what was asked is in the file of requests."""


def _names(headers: Any) -> dict[str, str]:
    return {name: headers[name] for name in KNOWN if headers.get(name)}


def _credentials(headers: dict[str, str]) -> tuple[str, str]:
    kind, _, value = headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(value).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if kind == "Basic" else ("", "")


def _as_answer(raw: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers of what a CGI program printed."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return int(headers.pop("Status", "200").split()[0]), body, headers


def page_of(path: str) -> Answer:
    """Return what a browser gets that has not logged in."""
    if path in ("/users/sign_in", "/help"):
        return Answer(200, SIGN_IN)
    return Answer(302, b"<html>You are being redirected</html>", {"Location": "/users/sign_in"})


class Server(ThreadingHTTPServer):
    """The server with its stand-in."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], standin: Standin) -> None:
        super().__init__(address, Handler)
        self.standin = standin
