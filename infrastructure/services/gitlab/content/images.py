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
            return self._named(self._on_nodes)
        if self._context.check:
            try:
                return self._found()
            except _AwayError:
                return self._named(lambda name, image: f"{self._place(name)}:{tag(image)}")
        found = self._context.wait(
            self._found, PUSHED_S, retry_on=lambda error: isinstance(error, _AwayError)
        )
        return found or {}

    def _on_nodes(self, _: str, reference: str) -> str:
        """Name it as the pods of workspaces do: jobs run on the same nodes."""
        address = self._context.settings["cluster"]["registry"]["address"]
        return f"{address}/{reference}" if address else reference

    def _found(self) -> dict[str, str]:
        return self._named(
            lambda name, image: f"{self._place(name)}@{self._digest(name, tag(image))}"
        )

    def _place(self, name: str) -> str:
        return f"{self.registry}/environments/{name}"

    def _named(self, name_of: Callable[[str, str], str]) -> dict[str, str]:
        """Name each environment by its name and image; one that is set to another stays that."""
        overrides = self._context.settings["images"]["overrides"]
        return {
            name: reference if f"environment-{name}" in overrides else name_of(name, reference)
            for name, reference in self._context.environments.items()
        }

    def _digest(self, name: str, tag: str) -> str:
        url = f"{self._url}/environments/{name}/manifests/{tag}"
        accepted = {"Accept": MANIFESTS}
        try:
            answer = requests.head(url, auth=self._login, headers=accepted, timeout=TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise _AwayError(f"{self._place(name)}:{tag}: {error}") from error
        return answer.headers["Docker-Content-Digest"]


def tag(reference: str) -> str:
    """Return the tag of an image's reference."""
    return reference.rpartition(":")[2]
