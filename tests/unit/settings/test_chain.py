"""Chains of certificates: what strict clients refuse is refused before anything is deployed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from dap.settings import Problem, Settings, chain

from tests.certificates import Signed, authority, pem, server, write

Refused = Callable[[str], list[Problem]]
Accepted = Callable[[str], Settings]

TLS = "domain: a.example.org\ntls:\n  certificate: c.pem\n  key: k.pem\n"
NAMES = ("a.example.org", "*.a.example.org")
LATER, EARLIER = (5, 20), (-20, -5)


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with what this machine trusts: nothing."""
    file = tmp_path / "system.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    file.touch()
    return file


def only(problems: list[Problem], what: str) -> Problem:
    (problem,) = problems
    assert (problem.line, problem.path) == (3, ("tls", "certificate")), str(problem)
    assert what in problem.what
    assert problem.allowed
    return problem


def test_a_server_and_its_root(accepted: Accepted, tmp_path: Path) -> None:
    root = authority("root")
    write(tmp_path, [server(NAMES, root), root])
    accepted(TLS)


def test_two_intermediates(accepted: Accepted, tmp_path: Path) -> None:
    root = authority("root")
    first = authority("first", root)
    second = authority("second", first)
    write(tmp_path, [server(NAMES, second), second, first, root])
    accepted(TLS)


def test_a_root_without_an_authority_key_identifier(accepted: Accepted, tmp_path: Path) -> None:
    root = authority("root", without=x509.AuthorityKeyIdentifier)
    write(tmp_path, [server(NAMES, root), root])
    accepted(TLS)


BAD_ROOTS = [
    (authority("r", without=x509.KeyUsage), "CA cert does not include key usage extension"),
    (authority("r", without=x509.SubjectKeyIdentifier), "Missing Subject Key Identifier"),
    (authority("r", without=x509.BasicConstraints), "invalid CA certificate"),
    (authority("r", critical=False), "Basic Constraints of CA cert not marked critical"),
    (authority("r", bits=1024), "CA certificate key too weak"),
    (authority("r", days=EARLIER), "certificate has expired: CN=r"),
    (authority("r", days=LATER), "certificate is not yet valid: CN=r"),
]


@pytest.mark.parametrize(("root", "why"), BAD_ROOTS, ids=[why for _, why in BAD_ROOTS])
def test_a_root_that_strict_clients_refuse(
    refused: Refused, tmp_path: Path, root: Signed, why: str
) -> None:
    write(tmp_path, [server(NAMES, root), root])
    problem = only(refused(TLS), "clients that verify strictly, such as Python 3.13, refuse")
    assert problem.found == f'"{why}"'
    assert "keyUsage = critical, keyCertSign" in problem.allowed
    assert "doc/operate.md" in problem.allowed


@pytest.mark.parametrize(
    ("days", "why"),
    [(EARLIER, "has expired"), (LATER, "is not yet valid")],
)
def test_an_intermediate_out_of_its_days(
    refused: Refused, tmp_path: Path, days: tuple[int, int], why: str
) -> None:
    root = authority("root")
    middle = authority("middle", root, days=days)
    write(tmp_path, [server(NAMES, middle), middle, root])
    assert only(refused(TLS), "refuse the chain").found == f'"certificate {why}: CN=middle"'


def test_an_intermediate_without_key_usage(refused: Refused, tmp_path: Path) -> None:
    root = authority("root")
    middle = authority("middle", root, without=x509.KeyUsage)
    write(tmp_path, [server(NAMES, middle), middle, root])
    assert "key usage" in only(refused(TLS), "refuse the chain").found


ROOT = authority("root")
BAD_SERVERS = [
    (server(NAMES, ROOT, without=x509.AuthorityKeyIdentifier), "Missing Authority Key Identifier"),
    (server(NAMES, ROOT, purpose=ExtendedKeyUsageOID.CLIENT_AUTH), "purpose"),
]


@pytest.mark.parametrize(("leaf", "why"), BAD_SERVERS, ids=[why for _, why in BAD_SERVERS])
def test_a_server_that_strict_clients_refuse(
    refused: Refused, tmp_path: Path, leaf: Signed, why: str
) -> None:
    write(tmp_path, [leaf, ROOT])
    assert why in only(refused(TLS), "refuse the chain").found


def test_a_server_that_a_server_signed(refused: Refused, tmp_path: Path) -> None:
    root = authority("root")
    other = server(["b.example.org"], root)
    write(tmp_path, [server(NAMES, other), other, root])
    assert "invalid CA certificate" in only(refused(TLS), "refuse the chain").found


def test_the_wrong_order(refused: Refused, tmp_path: Path) -> None:
    root = authority("root")
    middle = authority("middle", root)
    write(tmp_path, [server(NAMES, middle), root, middle])
    problem = only(refused(TLS), "certificate 2 of the file did not issue the one before it")
    assert problem.found == '"CN=root"'
    assert "then each time the one that issued it" in problem.allowed


def test_the_server_last(refused: Refused, tmp_path: Path) -> None:
    root = authority("root")
    leaf = server(NAMES, root)
    write(tmp_path, [leaf])
    (tmp_path / "c.pem").write_text(pem([root, leaf]))
    only(refused(TLS), "certificate 2 of the file did not issue the one before it")


def test_another_ca_of_the_same_name(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path, [server(NAMES, authority("root")), authority("root")])
    only(refused(TLS), "certificate 2 of the file did not issue the one before it")


def test_no_root_that_anybody_knows(refused: Refused, tmp_path: Path) -> None:
    middle = authority("middle", authority("company root"))
    write(tmp_path, [server(NAMES, middle), middle])
    problem = only(refused(TLS), "does not end with a root, and this machine knows none")
    assert problem.found == '"issued by CN=company root"'
    assert "append" in problem.allowed


def test_a_root_that_this_machine_knows(accepted: Accepted, tmp_path: Path, known: Path) -> None:
    root = authority("root")
    middle = authority("middle", root)
    write(tmp_path, [server(NAMES, middle), middle])
    known.write_text(pem([authority("other"), root]))
    accepted(TLS)


def test_a_root_among_the_extra_cas(accepted: Accepted, tmp_path: Path) -> None:
    root = authority("root")
    write(tmp_path, [server(NAMES, root)])
    (tmp_path / "company.pem").write_text(pem([root]))
    accepted(TLS + "packages: {extra_ca: [company.pem]}")


def test_a_known_root_that_has_expired(refused: Refused, tmp_path: Path, known: Path) -> None:
    root = authority("root", days=EARLIER)
    write(tmp_path, [server(NAMES, root)])
    known.write_text(pem([root]))
    only(refused(TLS), "this machine knows none")


def test_a_known_root_that_strict_clients_refuse(
    refused: Refused, tmp_path: Path, known: Path
) -> None:
    root = authority("root", without=x509.KeyUsage)
    write(tmp_path, [server(NAMES, root)])
    known.write_text(pem([root]))
    assert "key usage" in only(refused(TLS), "refuse the chain").found


def test_a_missing_intermediate(refused: Refused, tmp_path: Path, known: Path) -> None:
    root = authority("root")
    middle = authority("middle", root)
    write(tmp_path, [server(NAMES, middle)])
    known.write_text(pem([root, middle]))
    assert only(refused(TLS), "does not end with a root").found == '"issued by CN=middle"'


def test_a_root_that_another_signed_too(accepted: Accepted, tmp_path: Path, known: Path) -> None:
    """A public CA's chain may end with its root as an older CA, gone by now, signed it."""
    old = authority("old", days=EARLIER)
    root = authority("root")
    crossed = x509.CertificateBuilder()
    crossed = (
        crossed.subject_name(root.certificate.subject)
        .issuer_name(old.certificate.subject)
        .public_key(root.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.certificate.not_valid_before_utc)
        .not_valid_after(old.certificate.not_valid_after_utc)
    )
    for extension in root.certificate.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            crossed = crossed.add_extension(extension.value, extension.critical)
    by_old = Signed(root.key, crossed.sign(old.key, hashes.SHA256()))
    middle = authority("middle", root)
    certificates = [server(NAMES, middle), middle, by_old]
    write(tmp_path, certificates)
    known.write_text(pem([root]))
    accepted(TLS)
    assert chain.root_of([each.certificate for each in certificates], []) == root.certificate


def test_mozillas_roots_are_known() -> None:
    assert len(chain._known([])) > 50


def test_a_server_that_signed_itself(accepted: Accepted, tmp_path: Path) -> None:
    write(tmp_path, [server(NAMES, None)])
    accepted(TLS)
