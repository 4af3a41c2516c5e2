"""A registry of images, asked over HTTPS which of them it has."""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from dap.errors import DapError

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
"""The kinds of manifests that are asked for."""
_TIMEOUT_S = 30
# How a registry says where a token is to be had (Distribution, "Token Authentication").
_PART = re.compile(r'(realm|service|scope)="([^"]*)"')


class Registry:
    """A registry, asked by one account.

    Args:
        host: its name, with the port if not 443.
        login: base64 of USER:PASSWORD; empty: as nobody.
        certificate: file of a CA that is trusted beside the system's.
    """

    def __init__(self, host: str, login: str = "", certificate: Path | None = None) -> None:
        self.host = host
        self._login = login
        self._context = ssl.create_default_context()
        if certificate is not None:
            self._context.load_verify_locations(certificate)

    def has(self, image: str) -> bool:
        """Whether it has an image, given as NAME@DIGEST or NAME:TAG.

        Raises:
            DapError: it does not answer, or not as a registry does.
        """
        name, _, what = image.rpartition("@" if "@" in image else ":")
        return bool(self.digest(name, what))

    def digest(self, name: str, tag: str) -> str:
        """Return the digest of an image, `tag` being its tag or digest; empty without it.

        Raises:
            DapError: it does not answer, or not as a registry does.
        """
        url = f"https://{self.host}/v2/{name}/manifests/{tag}"
        basic = f"Basic {self._login}" if self._login else ""
        try:
            try:
                return self._head(url, basic)
            except urllib.error.HTTPError as error:
                error.close()
                asked = error.headers.get("WWW-Authenticate", "")
                if error.code != 401 or not asked.startswith("Bearer "):
                    raise
                return self._head(url, f"Bearer {self._token(asked, basic)}")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return ""
            raise DapError(f"the registry {self.host} answered {error.code}") from error
        except (OSError, ValueError, KeyError) as error:
            raise DapError(f"the registry {self.host} does not answer: {error}") from error

    def _head(self, url: str, authorization: str) -> str:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310  begins with https
        request.add_header("Accept", MANIFESTS)
        if authorization:
            # A redirect to where layers lie must not take it along.
            request.add_unredirected_header("Authorization", authorization)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._context) as answer:  # noqa: S310
            return str(answer.headers["Docker-Content-Digest"])

    def _token(self, asked: str, basic: str) -> str:
        parts = dict(_PART.findall(asked))
        realm = parts.pop("realm")
        if not realm.startswith("https://"):
            raise ValueError(f"it sends logins to {realm}, which is not https")
        request = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(parts)}")  # noqa: S310
        if basic:
            request.add_unredirected_header("Authorization", basic)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._context) as answer:  # noqa: S310
            said = json.load(answer)
        return str(said.get("token") or said["access_token"])
