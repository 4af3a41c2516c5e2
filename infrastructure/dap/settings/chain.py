"""Whether clients accept a server's certificates: their order, their root, and a trial of them."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

# Where Debian and Ubuntu keep what this machine trusts; their Python does not name the file.
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h.
_DATES = {9, 10}


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the key of `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
        return False
    return True


def out_of_order(chain: Sequence[x509.Certificate]) -> int:
    """Number, from 1, of the first certificate that did not issue the one before; 0 if all did."""
    pairs = enumerate(pairwise(chain), 2)
    return next((number for number, (one, by) in pairs if not issued(by, one)), 0)


def root_of(chain: Sequence[x509.Certificate], extra: Iterable[Path]) -> x509.Certificate | None:
    """The root that clients verify `chain` by.

    Args:
        chain: the server's certificate first, each issued by the next; not empty.
        extra: PEM files of `packages.extra_ca`.

    Returns:
        The last of the chain if it is a root. Else the root that issued one of the chain, of those
        that Mozilla (certifi), `extra` and this machine name; None if they name none.
    """
    if issued(chain[-1], chain[-1]):
        return chain[-1]
    wanted = {certificate.issuer for certificate in chain}
    known = [root for root in _known(extra) if root.subject in wanted]
    found = (root for certificate in chain for root in known if issued(root, certificate))
    return next(found, None)


def _known(extra: Iterable[Path]) -> list[x509.Certificate]:
    """The roots that this machine knows and that are valid today."""
    now = dt.datetime.now(dt.UTC)
    system = ssl.get_default_verify_paths().cafile
    found = []
    for file in (Path(certifi.where()), *extra, Path(system) if system else SYSTEM_CA):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(file)
        except OSError:  # none there, or nothing in it
            continue
        for der in context.get_ca_certs(binary_form=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of serial numbers that the rules of today forbid
                try:
                    root = x509.load_der_x509_certificate(der)
                except ValueError:
                    continue
            if (
                root.subject == root.issuer
                and root.not_valid_before_utc <= now <= root.not_valid_after_utc
            ):
                found.append(root)
    return found


def refused_because(
    certificate: Path,
    key: Path,
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    names: Iterable[str],
) -> str:
    """Why a client that knows `root` alone refuses the server, or an empty string.

    A handshake in memory, with the checks that clients make: X509_STRICT, as Python's
    ssl.create_default_context sets it from 3.13 on, and keys and digests of OpenSSL's security
    level 2, Debian's default.

    Args:
        certificate: PEM file with the chain.
        key: PEM file with the server's key.
        chain: what `certificate` holds.
        root: what the client trusts.
        names: host names that the client asks for.
    """
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.set_ciphers("DEFAULT@SECLEVEL=0")  # the client is the one to judge
        server.load_cert_chain(certificate, key, password="")  # else OpenSSL asks the terminal
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.set_ciphers("DEFAULT@SECLEVEL=2")
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        client.load_verify_locations(cadata=root.public_bytes(Encoding.PEM).decode())
        for name in names:
            _shake_hands(client, server, name)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _DATES:
            return f"{error.verify_message}: {_not_valid_today((*chain, root))}"
        return error.verify_message
    except ssl.SSLError as error:
        return (error.reason or str(error)).lower().replace("_", " ")
    return ""


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)


def _not_valid_today(chain: Iterable[x509.Certificate]) -> str:
    now = dt.datetime.now(dt.UTC)
    return ", ".join(
        dict.fromkeys(
            each.subject.rfc4514_string()
            for each in chain
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc
        )
    )
