"""The images of environments, as jobs name them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from dap.content import Context

# A deploy pushes them while content is made; this is for the largest of them on a slow disk.
PUSHED_S = 1200
TIMEOUT_S = 30
MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)


class _AwayError(Exception):
    """The registry does not have it yet, or does not answer yet."""


class Images:
    """The platform's registry, asked as who may push there."""

    def __init__(self, context: Context) -> None:
        """Take where it is and its login."""
        route = next(route for route in context.routes.values() if route["registry"])
        login = route["registry"]
        self.registry = str(urlsplit(route["url"]).netloc)
        self._url = f"http://{route['service']}:{route['port']}/v2"
        self._login = (login["username"], context.secret(login["secret"]))
        self._context = context

    def environments(self) -> dict[str, str]:
        """Return the image of each environment by its digest, for a tag may come to mean another.

        Waits for those that the deploy still pushes; a dry run gives their tag.

        Raises:
            ContentError: one is not in the registry in time.
        """
        if self._context.settings["cluster"] is not None:
            return self._on_nodes()
        if self._context.check:
            try:
                return self._found()
            except _AwayError:
                return self._named(lambda name, tag: f"{name}:{tag}")
        found = self._context.wait(
            self._found, PUSHED_S, retry_on=lambda error: isinstance(error, _AwayError)
        )
        return found or {}

    def _on_nodes(self) -> dict[str, str]:
        """Name them as the pods of workspaces do: jobs run on the same nodes."""
        overrides = self._context.settings["images"]["overrides"]
        address = self._context.settings["cluster"]["registry"]["address"]
        return {
            name: f"{address}/{reference}"
            if address and f"environment-{name}" not in overrides
            else reference
            for name, reference in self._context.environments.items()
        }

    def _found(self) -> dict[str, str]:
        return self._named(lambda name, tag: f"{name}@{self._digest(name, tag)}")

    def _named(self, fix: Callable[[str, str], str]) -> dict[str, str]:
        overrides = self._context.settings["images"]["overrides"]
        return {
            name: reference
            if f"environment-{name}" in overrides
            else f"{self.registry}/{fix(f'environments/{name}', tag(reference))}"
            for name, reference in self._context.environments.items()
        }

    def _digest(self, name: str, tag: str) -> str:
        url = f"{self._url}/{name}/manifests/{tag}"
        accepted = {"Accept": MANIFESTS}
        try:
            answer = requests.head(url, auth=self._login, headers=accepted, timeout=TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise _AwayError(f"{self.registry}/{name}:{tag}: {error}") from error
        return answer.headers["Docker-Content-Digest"]


def tag(reference: str) -> str:
    """Return the tag of an image's reference."""
    return reference.rpartition(":")[2]
