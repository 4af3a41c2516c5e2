"""The server's certificate: from a private CA made here, or from the user's own files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dap.errors import InputError
from dap.secrets.vault import Vault
from dap.settings import Settings
from dap.settings.chain import root_of

CA_LIFE = dt.timedelta(days=3652)
# The longest life that all clients accept of a certificate from a private CA.
SERVER_LIFE = dt.timedelta(days=825)
RENEWAL = dt.timedelta(days=30)
# A clock that runs a little behind still accepts a new certificate.
_EARLIER = dt.timedelta(hours=1)

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
    if not {CA_KEY, CA_CERTIFICATE} <= known or _ends_soon(vault.get(CA_CERTIFICATE), now):
        key, certificate = _authority(settings.name, now)
        vault.put(CA_KEY, _key_text(key))
        vault.put(CA_CERTIFICATE, _text(certificate))
        new += [CA_KEY, CA_CERTIFICATE]
    if new or not {KEY, CERTIFICATE} <= known or not _fits(vault, settings.domain, now):
        key, certificate = _server(vault, settings.domain, now)
        vault.put(KEY, _key_text(key))
        vault.put(CERTIFICATE, _text(certificate))
        new += [KEY, CERTIFICATE]
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
    vault.give(CA_CERTIFICATE, _text(authority))


def _names(domain: str) -> list[str]:
    return [domain, f"*.{domain}"]


def _ends_soon(certificate: str, now: dt.datetime) -> bool:
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    return loaded.not_valid_after_utc - now < RENEWAL


def _fits(vault: Vault, domain: str, now: dt.datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(vault.get(CERTIFICATE).encode())
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = alternative.value.get_values_for_type(x509.DNSName)
    return names == _names(domain) and not _ends_soon(vault.get(CERTIFICATE), now)


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: str, key: ec.EllipticCurvePrivateKey, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    # A common name has at most 64 characters; the names that count are the alternative ones.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _authority(
    platform: str, now: dt.datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two platforms of one name must not have CAs that a client takes for the same.
    subject = f"{platform[:40]} CA {x509.random_serial_number():x}"[:60]
    certificate = (
        _builder(subject, key, now, CA_LIFE)
        .issuer_name(_name(subject))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _server(
    vault: Vault, domain: str, now: dt.datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    authority = x509.load_pem_x509_certificate(vault.get(CA_CERTIFICATE).encode())
    authority_key = load_pem_private_key(vault.get(CA_KEY).encode(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise InputError(f"secret {CA_KEY}: is no elliptic-curve key")
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(SERVER_LIFE, authority.not_valid_after_utc - now)
    certificate = (
        _builder(domain, key, now, life)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in _names(domain)]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return key, certificate
