"""What programs of the node know of the API server's objects, and how they ask it."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

PKI = "/etc/kubernetes/pki"
PAUSE_S = 0.5

Object = dict[str, Any]


class Watched:
    """Objects as the API server has them.

    Attributes:
        changed: set whenever something of them has changed, once all kinds are known.

    Args:
        paths: of each kind that is followed, with its query: it ends in `?` or a parameter.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._objects: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()
        self.changed = threading.Event()
        for kind in paths:
            threading.Thread(target=self._follow_on, args=(kind,), daemon=True).start()

    def taken(self) -> dict[str, dict[str, Object]]:
        """Return the objects of each kind by their UIDs; what changes from now on is news."""
        with self._lock:
            self.changed.clear()
            return {kind: dict(found) for kind, found in self._objects.items()}

    def _follow_on(self, kind: str) -> None:
        while True:
            try:
                self._follow(kind)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                print(f"{kind}: {error}", file=sys.stderr, flush=True)
                time.sleep(PAUSE_S)

    def _follow(self, kind: str) -> None:
        path = self._paths[kind]
        listed = json.load(ask("GET", path))
        with self._lock:
            self._objects[kind] = {each["metadata"]["uid"]: each for each in listed["items"]}
            self._tell()
        version = listed["metadata"]["resourceVersion"]
        for line in ask("GET", f"{path}&watch=1&resourceVersion={version}"):
            event = json.loads(line)
            uid = event["object"]["metadata"]["uid"]
            with self._lock:
                if event["type"] == "DELETED":
                    self._objects[kind].pop(uid, None)
                else:
                    self._objects[kind][uid] = event["object"]
                self._tell()

    def _tell(self) -> None:
        if self._objects.keys() == self._paths.keys():
            self.changed.set()


def ask(method: str, path: str, body: Object | None = None) -> http.client.HTTPResponse:
    """Ask the API server.

    Raises:
        RefusedError: it did not do it.
        OSError, http.client.HTTPException: it does not answer.
    """
    context = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
    context.load_cert_chain(f"{PKI}/apiserver-kubelet.crt", f"{PKI}/apiserver-kubelet.key")
    connection = http.client.HTTPSConnection("127.0.0.1", 6443, context=context)
    given = None if body is None else json.dumps(body)
    connection.request(method, path, given, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status >= http.client.BAD_REQUEST:
        raise RefusedError(answer.status, f"{method} {path}: {answer.status} {answer.reason}")
    return answer


class RefusedError(http.client.HTTPException):
    """The API server did not do what it was asked; `status` is HTTP's."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
