"""The few calls to the Docker engine that the worker itself makes (Engine API over its socket)."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any
from urllib.parse import quote

from dap_pipelines.values import ENGINE_SOCKET

API = "v1.43"


class EngineError(Exception):
    """The engine refused; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(ENGINE_SOCKET)


def call(method: str, path: str, body: object = None) -> Any:
    """Return the engine's answer, decoded.

    Raises:
        EngineError: it refused. OSError: it is not there.
    """
    answer = _ask(method, path, body)
    return json.loads(answer) if answer.strip() else None


def _ask(method: str, path: str, body: object = None) -> bytes:
    connection = _Connection("engine")
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, f"/{API}{path}", text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise EngineError(response.status, answer.decode(errors="replace").strip())
    return answer


def resolve(image: str, repository: str) -> str:
    """Return a reference of a local image that can't move: its digest in `repository`, else its id.

    Raises:
        EngineError: the image is not there.
    """
    found = call("GET", f"/images/{quote(image, safe='')}/json")
    for reference in found.get("RepoDigests") or []:
        if reference.startswith(f"{repository}@"):
            return str(reference)
    return str(found["Id"])


def own_image() -> str:
    """Return the id of the image that this container was made from."""
    return str(call("GET", f"/containers/{socket.gethostname()}/json")["Image"])


def labels(platform: str, pipeline: int | None) -> list[str]:
    """Return the labels of what belongs to a pipeline, or to any (None)."""
    mine = "dap.pipeline" if pipeline is None else f"dap.pipeline={pipeline}"
    return [mine, f"dap.platform={platform}"]


def out_of_memory(platform: str, pipeline: int, since: float) -> bool:
    """Return whether a container of a pipeline reached its limit of memory since a time (epoch)."""
    wanted = quote(json.dumps({"event": ["oom"], "label": labels(platform, pipeline)}))
    return bool(_ask("GET", f"/events?since={since:.3f}&until={time.time():.3f}&filters={wanted}"))


def clear(platform: str, pipeline: int | None = None) -> int:
    """Remove the containers, networks and volumes of a pipeline, or of all; return how many."""
    wanted = quote(json.dumps({"label": labels(platform, pipeline)}))
    removed = 0
    for container in call("GET", f"/containers/json?all=true&filters={wanted}"):
        removed += _remove(f"/containers/{container['Id']}?force=true&v=true")
    for network in call("GET", f"/networks?filters={wanted}"):
        removed += _remove(f"/networks/{network['Id']}")
    for volume in call("GET", f"/volumes?filters={wanted}")["Volumes"] or []:
        removed += _remove(f"/volumes/{volume['Name']}?force=true")
    return removed


def _remove(path: str) -> int:
    try:
        call("DELETE", path)
    except EngineError as error:
        # 404: gone already; 409: its removal is under way.
        if error.status not in (404, 409):
            raise
        return 0
    return 1
