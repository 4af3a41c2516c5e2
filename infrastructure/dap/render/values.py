"""Secrets as templates get them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Protocol

import bcrypt

from dap.errors import DapError, InputError
from dap.plan import DIGEST_KEY, Plan, engine_secrets, secret_specs
from dap.secrets.hosts import HOSTS_CA, host_certificate, host_key
from dap.secrets.kinds import CONTENT, ssh_public_key
from dap.settings import choice

CA_KEY = "tls/ca-key"
CA_CERTIFICATE = "tls/ca-certificate"
_TLS = (CA_CERTIFICATE, "tls/certificate", "tls/key")
# As htpasswd -B has by default: our passwords have 190 bits, and nginx checks each request.
_BCRYPT_COST = 5
_BCRYPT_BYTES = 72
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT64 = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Secrets(Protocol):
    """Where secrets are read from, such as `dap.secrets.Vault`."""

    def get(self, name: str, /) -> str:
        """Return the value; raise DapError where there is none."""


class Values:
    """The secrets that a plan may use; without a vault each stands as a placeholder."""

    def __init__(self, plan: Plan, secrets: Secrets | None) -> None:
        specs = secret_specs(plan)
        self._names = (*specs, *_TLS)
        self._late = {name for name, kind in specs.items() if kind == CONTENT}
        self._known = frozenset([*self._names, *_host_secrets(plan)])
        self._of_engine = engine_secrets(plan.settings)
        self._secrets = secrets
        self._hashes: dict[str, str] = {}
        # Keys digests of secrets, so that what is seen of one tells nothing without the vault.
        self._key = self.secret(DIGEST_KEY).encode()

    def secret(self, name: str) -> str:
        """Return the value of a secret; of one that content has not got yet, an empty text.

        Raises:
            DapError: no such secret is declared, or it is not in the vault.
        """
        if name not in self._known:
            raise InputError(f"no secret '{name}' is declared; there are: {self._choice(name)}")
        if self._secrets is None:
            return f"(secret {name})"
        try:
            return self._secrets.get(name)
        except DapError:
            if name in self._late:
                return ""
            raise

    def bcrypt(self, name: str) -> str:
        """Return the bcrypt hash of a secret; its salt comes from the name: always the same."""
        if name not in self._hashes:
            salt = hmac.digest(self._key, f"bcrypt {name}".encode(), "sha256")[:16]
            encoded = base64.b64encode(salt)[:22].translate(bytes.maketrans(_BASE64, _BCRYPT64))
            password = self.secret(name).encode()[:_BCRYPT_BYTES]
            prefix = b"$2b$%02d$" % _BCRYPT_COST
            self._hashes[name] = bcrypt.hashpw(password, prefix + encoded).decode()
        return self._hashes[name]

    def public_key(self, name: str) -> str:
        """Return the public half of an SSH key among the secrets, as one line.

        Raises:
            InputError: the secret is no SSH key.
        """
        private = self.secret(name)
        if self._secrets is None:
            return f"(public key of {name})"
        try:
            return ssh_public_key(private)
        except ValueError as error:
            raise InputError(f"secret {name}: is no SSH key without a passphrase") from error

    def vault(self) -> dict[str, str]:
        """Return all secrets by name but the CA's key, those of hosts and those of the engine."""
        names = sorted({*self._names} - self._of_engine)
        found = {name: self.secret(name) for name in names}
        return {name: value for name, value in found.items() if value}

    def digest(self, content: bytes) -> str:
        """Return a digest (hex) of secret content that says nothing without the vault."""
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def _choice(self, name: str) -> str:
        return choice(name, sorted(self._names))


def _host_secrets(plan: Plan) -> list[str]:
    if len(plan.hosts) == 1:
        return []
    names = [host.host.name for host in plan.hosts]
    return [HOSTS_CA, *map(host_key, names), *map(host_certificate, names)]
