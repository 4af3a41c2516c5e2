"""A namespace with pods that do little: they serve a page, or run a script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from demo.access import await_result
from tests.cluster import image
from tests.cluster.cluster import Cluster

PORT = 8080
PAGE = f"mkdir -p /tmp/www && echo here >/tmp/www/index.html && exec httpd -f -p {PORT} -h /tmp/www"
READY_S = 60
STRAY = "stray"
"""Name of what a test puts beside a platform, and the value of its label `test`."""


@dataclass(frozen=True)
class Space:
    """A namespace of a test.

    Attributes:
        cluster: that it is in.
        name: of the namespace.
    """

    cluster: Cluster
    name: str

    def make(self) -> None:
        """Make it, once what an earlier test left is gone."""
        self.remove()
        self.kubectl("create", "namespace", self.name)

    def remove(self) -> None:
        """Remove it with all it holds."""
        self.cluster.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait")

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run kubectl in it."""
        return self.cluster.kubectl("--namespace", self.name, *arguments, given=given)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(body))

    def get(self, kind: str, name: str) -> Any:
        """An object as it is now."""
        return json.loads(self.kubectl("get", kind, name, "--output", "json"))

    def wait(self, condition: str, what: str) -> None:
        """Await a condition of an object."""
        self.kubectl("wait", f"--for={condition}", what, f"--timeout={READY_S}s")

    def page(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Have a pod that serves a page."""
        self.apply(pod(name, PAGE, labels=labels or {"app": name}))
        self.wait("condition=Ready", f"pod/{name}")

    def address(self, pod_name: str) -> str:
        """Address of a pod."""
        return str(self.get("pod", pod_name)["status"]["podIP"])

    def reaches(self, pod_name: str, host: str, port: int = PORT) -> bool:
        """Whether a pod gets a page from somewhere."""
        ask = f"wget -q -T 2 -O - http://{host}:{port}/ || echo none"
        return self.kubectl("exec", pod_name, "--", "sh", "-c", ask).strip() == "here"

    def becomes(self, expected: bool, pod_name: str, host: str, port: int = PORT) -> None:
        """Await that a pod gets a page from somewhere, or no longer does."""
        what = f"{pod_name} {'reaches' if expected else 'does not reach'} {host}:{port}"
        await_result(
            what, lambda: self.reaches(pod_name, host, port) is expected or None, READY_S, 0.2
        )


def pod(
    name: str,
    script: str,
    *,
    labels: dict[str, str] | None = None,
    memory: str = "64Mi",
    **spec: Any,
) -> dict[str, Any]:
    """A pod that runs a shell script under the restricted standard."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": template(name, script, memory) | spec,
    }


def stray(kind: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    """An object that is not of a platform's plan, which the fixture `here` removes at the end."""
    labels = {"test": STRAY}
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": STRAY, "labels": labels}, **rest
    }  # fmt: skip


def template(name: str, script: str, memory: str = "64Mi") -> dict[str, Any]:
    """What a pod's template says of such a pod."""
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 11001,
            "fsGroup": 11001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": image.references()["busybox"],
                "imagePullPolicy": "Never",
                "command": ["sh", "-ec", script],
                "resources": {"limits": {"memory": memory}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
