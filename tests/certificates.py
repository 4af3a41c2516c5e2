"""Certificates as a company's CA gives them out, good and bad."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = (-10, 10)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate


def pem(certificates: Sequence[Signed]) -> str:
    parts = [each.certificate.public_bytes(Encoding.PEM) for each in certificates]
    return b"".join(parts).decode()


def key_pem(signed: Signed, passphrase: bytes = b"") -> str:
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def write(folder: Path, chain: Sequence[Signed]) -> None:
    """Write c.pem, the chain, and k.pem, the key of its first."""
    (folder / "c.pem").write_text(pem(chain))
    (folder / "k.pem").write_text(key_pem(chain[0]))


def _signed(
    name: str,
    issuer: Signed | None,
    days: tuple[int, int],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    left_out: type[x509.ExtensionType] | None,
    bits: int = 0,
    organization: str = "",
) -> Signed:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    attributes = [(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    attributes.append((NameOID.COMMON_NAME, name))
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    by = (issuer.key if issuer else key).public_key()
    all_extensions = [
        *extensions,
        (own, False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(by), False),
    ]
    for extension, critical in all_extensions:
        if left_out is None or not isinstance(extension, left_out):
            builder = builder.add_extension(extension, critical)
    return Signed(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def authority(
    name: str,
    issuer: Signed | None = None,
    *,
    days: tuple[int, int] = DAYS,
    critical: bool = True,
    bits: int = 0,
    without: type[x509.ExtensionType] | None = None,
) -> Signed:
    """Make a CA: a root, or an intermediate of `issuer`.

    Args:
        name: its common name.
        issuer: who signs it; itself if nobody does.
        days: first and last day that it is valid on, from today.
        critical: whether its basic constraints are.
        bits: size of its RSA key; 0: its key is on an elliptic curve.
        without: the extension that it lacks.
    """
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return _signed(name, issuer, days, [(constraints, critical), (usage, True)], without, bits)


def server(
    names: Sequence[str],
    issuer: Signed | None,
    *,
    days: tuple[int, int] = DAYS,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    without: type[x509.ExtensionType] | None = None,
) -> Signed:
    """Make a server's certificate.

    Args:
        names: host names and IP addresses that it is for.
        issuer: who signs it; itself if nobody does.
        days: first and last day that it is valid on, from today.
        purpose: what its key may be used for.
        without: the extension that it lacks.
    """
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([purpose]), False),
    ]
    if names:
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
        extensions.append((alternative, False))
    return _signed("server", issuer, days, extensions, without)


def client(name: str, organization: str, issuer: Signed) -> Signed:
    """Make a client's certificate.

    Args:
        name: its common name.
        organization: its group, or nothing.
        issuer: who signs it.
    """
    usage: tuple[x509.ExtensionType, bool]
    usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    return _signed(name, issuer, DAYS, [usage], None, organization=organization)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
