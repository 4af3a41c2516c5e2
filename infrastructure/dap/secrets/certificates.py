"""Makes certificate authorities, and certificates that they sign."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

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

CA_LIFE = dt.timedelta(days=3652)
# The longest life that all clients accept of a certificate from a private CA.
LEAF_LIFE = dt.timedelta(days=825)
RENEWAL = dt.timedelta(days=30)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
# A clock that runs a little behind still accepts a new certificate.
_EARLIER = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, both in PEM."""

    key: str
    certificate: str


def make_authority(name: str, now: dt.datetime) -> Pair:
    """Make a CA that signs certificates of machines.

    Args:
        name: what its subject begins with, at most 40 characters count.
        now: begin of its life.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # Two platforms of one name must not have CAs that a client takes for the same.
    subject = f"{name[:40]} CA {x509.random_serial_number():x}"[:60]
    certificate = (
        _builder(subject, key, now, CA_LIFE)
        .issuer_name(_name(subject))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(_key_text(key), pem(certificate))


def issue(
    authority: Pair,
    names: Sequence[str],
    usages: Sequence[x509.ObjectIdentifier],
    now: dt.datetime,
) -> Pair:
    """Make a certificate that `authority` signs.

    Args:
        authority: of an elliptic-curve key.
        names: DNS names that it is for; the first is its subject.
        usages: SERVER, CLIENT or both.
        now: begin of its life, which ends with the authority's at the latest.

    Raises:
        InputError: the authority's key is of another kind.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    issuer_key = load_pem_private_key(authority.key.encode(), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise InputError("the key of the platform's CA is no elliptic-curve key")
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(LEAF_LIFE, issuer.not_valid_after_utc - now)
    certificate = (
        _builder(names[0], key, now, life)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return Pair(_key_text(key), pem(certificate))


def names_of(certificate: str) -> list[str]:
    """Return the DNS names that a certificate in PEM is for."""
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    alternative = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return alternative.value.get_values_for_type(x509.DNSName)


def usages_of(certificate: str) -> list[x509.ObjectIdentifier]:
    """Return what a certificate in PEM may be used for: SERVER, CLIENT or both."""
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    return list(loaded.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def ends_soon(certificate: str, now: dt.datetime) -> bool:
    """Tell whether fewer than 30 days of a certificate in PEM remain."""
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    return loaded.not_valid_after_utc - now < RENEWAL


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


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
