"""The platform's registry, asked for the image of a run."""

from __future__ import annotations

import tempfile

import requests

from dap.errors import DapError
from dap.plan import Plan
from dap.reproduce.origin import Origin
from dap.secrets import Vault

TIMEOUT_S = 30
_GONE = 404


class Registry:
    """The registry of this platform; that of another is not asked."""

    def __init__(self, plan: Plan, vault: Vault) -> None:
        self._vault = vault
        self._route = next((route for route in plan.routes if route.registry is not None), None)

    def has(self, made_by: Origin) -> bool:
        """Tell if it has the image.

        Raises:
            DapError: it does not answer, or not as a registry does.
        """
        login = self.login(made_by)
        if self._route is None or not login:
            return False
        url = f"{self._route.url}/v2/{made_by.repository}/manifests/{made_by.digest}"
        with tempfile.NamedTemporaryFile() as authority, requests.Session() as session:
            authority.write(self._vault.get("tls/ca-certificate").encode())
            authority.flush()
            session.trust_env = False
            session.verify = authority.name
            session.auth = (login["username"], login["password"])
            accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json, */*"}
            try:
                answer = session.head(url, headers=accepted, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                raise DapError(f"the registry does not answer: {error}") from error
        if answer.status_code not in (200, _GONE):
            raise DapError(f"the registry answered {answer.status_code} for {made_by.image}")
        return answer.status_code != _GONE

    def login(self, made_by: Origin) -> dict[str, str]:
        """Return registry, username and password for the image; nothing where it is not ours."""
        route = self._route
        if route is None or route.registry is None or route.url != f"https://{made_by.registry}":
            return {}
        return {
            "registry": made_by.registry,
            "username": route.registry.username,
            "password": self._vault.get(route.registry.secret),
        }
