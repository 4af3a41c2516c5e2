"""The server's certificate: from a private CA made here, or from the user's own files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509

from dap.errors import InputError
from dap.secrets.certificates import (
    SERVER,
    Pair,
    ends_soon,
    issue,
    make_authority,
    names_of,
    pem,
)
from dap.secrets.vault import Vault
from dap.settings import Settings
from dap.settings.chain import root_of

CA_KEY, CA_CERTIFICATE = "tls/ca-key", "tls/ca-certificate"
KEY, CERTIFICATE = "tls/key", "tls/certificate"


def ensure_tls(vault: Vault, settings: Settings, root: Path) -> list[str]:
    """Give the vault the server's key and certificate and the CA that clients trust.

    From the user's files they are only read, not stored. Otherwise a private CA makes them, anew
    when fewer than 30 days remain or the domain is another.

    Args:
        vault: gets tls/key, tls/certificate and tls/ca-certificate, and tls/ca-key with a private
            CA.
        settings: names the domain and the user's files.
        root: folder that the files' paths start from.

    Returns:
        Names of the secrets that are new.

    Raises:
        InputError: a file can't be read, or nobody knows the root of the user's chain.
    """
    if settings.tls.certificate:
        _take(vault, root, settings)
        return []
    now = dt.datetime.now(dt.UTC)
    known = set(vault.names())
    new: list[str] = []
    if not {CA_KEY, CA_CERTIFICATE} <= known or ends_soon(vault.get(CA_CERTIFICATE), now):
        new += put_pair(vault, CA_KEY, CA_CERTIFICATE, make_authority(settings.name, now))
    if new or not {KEY, CERTIFICATE} <= known or not _fits(vault, settings.domain, now):
        authority = Pair(vault.get(CA_KEY), vault.get(CA_CERTIFICATE))
        server = issue(authority, _names(settings.domain), [SERVER], now)
        new += put_pair(vault, KEY, CERTIFICATE, server)
    return new


def _take(vault: Vault, root: Path, settings: Settings) -> None:
    texts = []
    for name in (settings.tls.certificate, settings.tls.key):
        try:
            texts.append((root / name).expanduser().read_text())
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{name}: can't be read") from None
    chain = x509.load_pem_x509_certificates(texts[0].encode())
    extra = [(root / name).expanduser() for name in settings.packages.extra_ca]
    authority = root_of(chain, extra)
    if authority is None:
        raise InputError(f"{settings.tls.certificate}: does not end with a root CA's certificate")
    vault.give(CERTIFICATE, texts[0])
    vault.give(KEY, texts[1])
    vault.give(CA_CERTIFICATE, pem(authority))


def _names(domain: str) -> list[str]:
    return [domain, f"*.{domain}"]


def _fits(vault: Vault, domain: str, now: dt.datetime) -> bool:
    certificate = vault.get(CERTIFICATE)
    return names_of(certificate) == _names(domain) and not ends_soon(certificate, now)


def put_pair(vault: Vault, key: str, certificate: str, pair: Pair) -> list[str]:
    """Keep a key and its certificate under two names; return the names."""
    vault.put(key, pair.key)
    vault.put(certificate, pair.certificate)
    return [key, certificate]
