"""Docker's engine, asked through its API: without a client a question costs milliseconds."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlencode

SOCKET = "/var/run/docker.sock"
LABEL = "com.docker.compose"


class EngineError(Exception):
    """The engine does not answer, or refuses."""


class GoneError(EngineError):
    """What was asked about is not there, or not any more."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def request(path: str, *, timeout_s: float | None = 20, **query: Any) -> http.client.HTTPResponse:
    """Send a GET; the answer's body is still to be read.

    Raises EngineError when the engine does not answer or refuses, GoneError for an unknown thing.
    """
    connection = _Connection("docker", timeout=timeout_s)
    try:
        connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
        response = connection.getresponse()
        if response.status >= 300:
            message = json.loads(response.read()).get("message", f"{response.status}")
            raise (GoneError if response.status in (404, 409) else EngineError)(message)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EngineError(str(error)) from error
    return response


def get(path: str, **query: Any) -> Any:
    """Return what a GET answers; raises EngineError."""
    try:
        return json.loads(request(path, **query).read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EngineError(str(error)) from error


def containers(project: str) -> list[dict[str, Any]]:
    """List the containers of a Compose project, running or not, less one-shot ones."""
    labels = [f"{LABEL}.project={project}", f"{LABEL}.oneoff=False"]
    found: list[dict[str, Any]] = get(
        "/containers/json", all="1", filters=json.dumps({"label": labels})
    )
    return sorted(found, key=service)


def service(container: dict[str, Any]) -> str:
    """Name the Compose service of a listed container."""
    return str(container["Labels"].get(f"{LABEL}.service", container["Id"][:12]))
