"""Jobs that a service runs again by a command in its container: `x-dap.reproduce`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dap.catalogue.compose import ComposeService
from dap.errors import DapError
from dap.plan import HostPlan, Plan
from dap.reach import ask, listen
from dap.reproduce.model import Ended, Found, Order

LOOK_S = 60
_MODULE = "reproduce"


class ServiceJobs:
    """The service, on its host; `login` is the registry's for an image that is not there."""

    def __init__(
        self, root: Path, plan: Plan, place: tuple[HostPlan, ComposeService], login: dict[str, str]
    ) -> None:
        self._root = root
        self._platform = plan.settings.name
        self._host, self._service = place
        self._login = login

    def look(self, project: str, commit: str, image: str) -> Found:
        """Ask the service for the commit, its host for the image."""
        arguments = self._arguments("look", image, {"project": project, "commit": commit})
        found = ask(self._root, self._host.host, _MODULE, arguments, timeout_s=LOOK_S)
        return Found(str(found["ref"]), bool(found["image"]))

    def again(self, order: Order, say: Callable[[str], None]) -> Ended:
        """Run the job; raises DapError where it can't be."""
        asked = {
            "project": order.project,
            "commit": order.commit,
            "ref": order.ref,
            "job": order.job,
            "variables": dict(order.variables),
            "message": order.message,
        }
        ended: dict[str, Any] = {}
        for line in self._lines(self._arguments("run", order.image, asked)):
            if line.startswith("{"):
                ended = json.loads(line)
            else:
                say(line)
        if not ended:
            raise DapError("the job could not be run; what is told above says why")
        return Ended(**ended)

    def _lines(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        with _ending(listen(self._root, self._host.host, _MODULE, arguments)) as output:
            for line in output:
                yield line.rstrip("\n")

    def _arguments(self, verb: str, image: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "project": self._platform,
            "service": self._service.name,
            "command": list(self._service.options.reproduce),
            "verb": verb,
            "asked": dict(asked),
            "image": image,
            **({"login": self._login} if self._login else {}),
        }


def service(plan: Plan) -> tuple[HostPlan, ComposeService] | None:
    """Return the service that runs jobs again, and its host; None: there is none."""
    for host in plan.hosts:
        for folder in host.folders:
            for each in folder.services:
                if each.options.reproduce:
                    return host, each
    return None


@contextmanager
def _ending(process: Any) -> Iterator[Any]:
    """What a process prints; it is ended with us."""
    try:
        yield process.stdout
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait()
