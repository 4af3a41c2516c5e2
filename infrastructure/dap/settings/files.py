"""Checks the files that the settings name: the server's certificate and further CAs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

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

    def _read(self, path: Path, name: str) -> bytes | None:
        try:
            return (self.root / name).expanduser().read_bytes()
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

    def tls(self, certificate: str, key: str, domain: str) -> None:
        """Check the server's certificate: valid today, for `domain` and below it, fits its key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.x509 import (
            DNSName,
            ExtensionNotFound,
            SubjectAlternativeName,
        )

        path: Path = ("tls", "certificate")
        chain = self._certificates(path, certificate)
        key_data = self._read(("tls", "key"), key)
        if chain:
            leaf = chain[0]
            now = dt.datetime.now(dt.UTC)
            until, since = leaf.not_valid_after_utc, leaf.not_valid_before_utc
            if until < now:
                self._add(
                    path, f"the certificate expired on {until:%Y-%m-%d}", "a valid one", certificate
                )
            if since > now:
                self._add(
                    path,
                    f"the certificate is not valid before {since:%Y-%m-%d}",
                    "a valid one",
                    certificate,
                )
            try:
                extension = leaf.extensions.get_extension_for_class(SubjectAlternativeName)
                names = [name.lower() for name in extension.value.get_values_for_type(DNSName)]
            except ExtensionNotFound:
                names = []
            for needed in (domain, f"*.{domain}"):
                if needed not in names and not _covered(needed, names):
                    self._add(
                        path,
                        f"the certificate is not for {needed}",
                        f"one for {domain} and *.{domain}",
                        ", ".join(names) or "no DNS names",
                    )
        if key_data is None:
            return
        try:
            private = serialization.load_pem_private_key(key_data, None)
        except TypeError:
            self._add(("tls", "key"), "the key has a passphrase", "a key without one", key)
            return
        except Exception:  # OpenSSL raises errors of many kinds
            self._add(("tls", "key"), "the file holds no private key", "a PEM file", key)
            return
        encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        if chain and private.public_key().public_bytes(*encoding) != chain[
            0
        ].public_key().public_bytes(*encoding):
            self._add(
                ("tls", "key"), "the key is not the certificate's", f"the key of {certificate}", key
            )


def _covered(name: str, patterns: list[str]) -> bool:
    """Whether a wildcard in `patterns` stands for the plain `name`."""
    return not name.startswith("*.") and "*." + name.partition(".")[2] in patterns
