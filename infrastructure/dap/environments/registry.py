"""The platform's registry, asked from a pipeline."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from dap.errors import DapError

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_TIMEOUT_S = 30


class Registry:
    """Asks with the login of $REGISTRY_AUTH_FILE; `host` is its name, with the port if not 443."""

    def __init__(self, host: str) -> None:
        self.host = host
        logins = json.loads(Path(os.environ["REGISTRY_AUTH_FILE"]).read_text(encoding="utf-8"))
        self._login = str(logins["auths"][host]["auth"])

    def has(self, image: str) -> bool:
        """Whether it has an image, given as NAME@DIGEST.

        Raises:
            DapError: it does not answer, or not as a registry does.
        """
        return bool(self.digest(*image.split("@", 1)))

    def digest(self, name: str, tag: str) -> str:
        """Return the digest of an image, `tag` being its tag or digest; empty without it.

        Raises:
            DapError: it does not answer, or not as a registry does.
        """
        request = urllib.request.Request(
            f"https://{self.host}/v2/{name}/manifests/{tag}",
            method="HEAD",
            headers={"Authorization": f"Basic {self._login}", "Accept": _MANIFESTS},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return str(answer.headers["Docker-Content-Digest"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return ""
            raise DapError(f"the registry {self.host} answered {error.code}") from error
        except OSError as error:
            raise DapError(f"the registry {self.host} does not answer: {error}") from error
