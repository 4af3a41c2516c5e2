"""Checks the files that the settings name: the server's certificate, further CAs, SSH keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from dap.settings.problem import Path, Problem
from dap.settings.source import Source

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class FileChecks:
    """What is wrong with the files that the settings name.

    Args:
        source: where the settings come from.
        root: folder that relative paths start from.
    """

    def __init__(self, source: Source, root: FilePath) -> None:
        self.source = source
        self.root = root
        self.problems: list[Problem] = []

    def _add(self, path: Path, what: str, allowed: str, found: object) -> None:
        self.problems.append(self.source.problem(path, what, allowed, found))

    def _file(self, name: str) -> FilePath:
        return (self.root / name).expanduser()

    def _read(self, path: Path, name: str) -> bytes | None:
        try:
            return self._file(name).read_bytes()
        except FileNotFoundError:
            self._add(path, "there is no such file", f"a file, from {self.root}", name)
        except OSError as error:
            reason = (error.strerror or "error").lower()
            self._add(path, f"the file can't be read ({reason})", "a readable file", name)
        return None

    def _certificates(self, path: Path, name: str) -> list[Certificate]:
        from cryptography import x509  # cryptography loads slowly

        data = self._read(path, name)
        if data is None:
            return []
        try:
            return x509.load_pem_x509_certificates(data)
        except ValueError:
            self._add(path, "the file holds no certificate", "a PEM file", name)
            return []

    def extra_ca(self, names: list[str]) -> None:
        """Check the files of `packages.extra_ca`."""
        for index, name in enumerate(names):
            self._certificates(("packages", "extra_ca", index), name)

    def registry_ca(self, name: str) -> None:
        """Check the file of `cluster.registry.ca`."""
        self._certificates(("cluster", "registry", "ca"), name)

    def ssh_keys(self, hosts: list[Any]) -> None:
        """Check the private keys that `hosts` name, which may be wrong otherwise."""
        for index, host in enumerate(hosts):
            if not isinstance(host, dict) or host.get("address", "localhost") == "localhost":
                continue
            key = host.get("key")
            if isinstance(key, str) and key:
                self._read(("hosts", index, "key"), key)

    def tls(self, certificate: str, key: str, domain: str, extra_ca: list[str]) -> None:
        """Check the server's certificate: for `domain` and below it, fits its key, is accepted.

        Clients verify it by the root that its file ends with or, if that is left out, by one that
        is known without it (`root_of`).
        """
        from dap.settings import chain as chains  # cryptography loads slowly

        path: Path = ("tls", "certificate")
        before = len(self.problems)
        chain = self._certificates(path, certificate)
        number = chains.out_of_order(chain)
        if number:
            self._add(
                path,
                f"certificate {number} of the file did not issue the one before it",
                "the server's certificate, then each time the one that issued it; nothing else",
                chain[number - 1].subject.rfc4514_string(),
            )
        elif chain:
            self._leaf(path, chain[0], certificate, domain)
        self._key(certificate, key, None if number or not chain else chain[0])
        if not chain or len(self.problems) > before:
            return
        root = chains.root_of(chain, [self._file(name) for name in extra_ca])
        if root is None:
            self._add(
                path,
                "the chain does not end with a root, and this machine knows none for it",
                "the whole chain: append what issued the last one, up to the CA that signed itself",
                f"issued by {chain[-1].issuer.rfc4514_string()}",
            )
            return
        names = (domain, f"any.{domain}")
        files = self._file(certificate), self._file(key)
        reason = chains.refused_because(*files, chain, root, names)
        if reason:
            self._add(
                path,
                "clients that verify strictly, such as Python 3.13, refuse the chain",
                "CAs with basicConstraints = critical, CA:TRUE and keyUsage = critical, keyCertSign"
                " and subjectKeyIdentifier; a server's with authorityKeyIdentifier; all valid now,"
                " without SHA-1 and RSA below 2048 bits: have it issued so"
                " (doc/operate.md, Certificates)",
                reason,
            )

    def _leaf(self, path: Path, leaf: Certificate, file: str, domain: str) -> None:
        from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

        now = dt.datetime.now(dt.UTC)
        until, since = leaf.not_valid_after_utc, leaf.not_valid_before_utc
        if until < now:
            self._add(path, f"the certificate expired on {until:%Y-%m-%d}", "a valid one", file)
        if since > now:
            what = f"the certificate is not valid before {since:%Y-%m-%d}"
            self._add(path, what, "a valid one", file)
        names: list[str] = []
        try:
            extension = leaf.extensions.get_extension_for_class(SubjectAlternativeName)
            names = [name.lower() for name in extension.value.get_values_for_type(DNSName)]
        except ExtensionNotFound:
            pass
        except ValueError as error:
            what = f"the certificate's extensions can't be read ({error})"
            self._add(path, what, "a certificate by RFC 5280", file)
            return
        for needed in (domain, f"*.{domain}"):
            if needed not in names and not _covered(needed, names):
                self._add(
                    path,
                    f"the certificate is not for {needed}",
                    f"one for {domain} and *.{domain}",
                    ", ".join(names) or "no DNS names",
                )

    def _key(self, certificate: str, key: str, leaf: Certificate | None) -> None:
        from cryptography.hazmat.primitives import serialization

        data = self._read(("tls", "key"), key)
        if data is None:
            return
        try:
            private = serialization.load_pem_private_key(data, None)
        except TypeError:
            self._add(("tls", "key"), "the key has a passphrase", "a key without one", key)
            return
        except Exception:  # OpenSSL raises errors of many kinds
            self._add(("tls", "key"), "the file holds no private key", "a PEM file", key)
            return
        encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        public = private.public_key().public_bytes(*encoding)
        if leaf and public != leaf.public_key().public_bytes(*encoding):
            what = "the key is not the certificate's"
            self._add(("tls", "key"), what, f"the key of {certificate}", key)


def _covered(name: str, patterns: list[str]) -> bool:
    """Whether a wildcard in `patterns` stands for the plain `name`."""
    return not name.startswith("*.") and "*." + name.partition(".")[2] in patterns
