"""Certificate and CA files that the settings name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dap.settings import Problem, Settings

Refused = Callable[[str], list[Problem]]
Certificate = Callable[..., None]

TLS = "domain: a.example.org\ntls:\n  certificate: c.pem\n  key: k.pem\n"
GOOD = ("a.example.org", "*.a.example.org")


def only(problems: list[Problem], line: int, key: str, what: str) -> None:
    assert [str(problem).split(": ")[:2] for problem in problems] == [[f"platform.yml:{line}", key]]
    assert what in problems[0].what


def test_both_files_are_missing(refused: Refused) -> None:
    problems = refused(TLS)
    assert [(each.line, each.what) for each in problems] == [
        (3, "there is no such file"),
        (4, "there is no such file"),
    ]


def test_a_file_that_can_not_be_read(
    refused: Refused, certificate: Certificate, tmp_path: Path
) -> None:
    certificate(*GOOD)
    (tmp_path / "k.pem").unlink()
    (tmp_path / "k.pem").mkdir()
    only(refused(TLS), 4, "tls.key", "can't be read")


def test_an_expired_certificate(refused: Refused, certificate: Certificate) -> None:
    certificate(*GOOD, days=(-10, -1))
    only(refused(TLS), 3, "tls.certificate", "expired on")


def test_a_certificate_of_the_future(refused: Refused, certificate: Certificate) -> None:
    certificate(*GOOD, days=(1, 10))
    only(refused(TLS), 3, "tls.certificate", "not valid before")


def test_another_key(refused: Refused, certificate: Certificate) -> None:
    certificate(*GOOD, other_key=True)
    only(refused(TLS), 4, "tls.key", "not the certificate's")


def test_a_key_with_a_passphrase(refused: Refused, certificate: Certificate) -> None:
    certificate(*GOOD, passphrase=b"open")
    only(refused(TLS), 4, "tls.key", "has a passphrase")


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (("a.example.org",), "*.a.example.org"),
        (("*.a.example.org",), "a.example.org"),
        ((), "a.example.org"),
        (("b.example.org", "*.b.example.org"), "a.example.org"),
        (("*.example.org",), "*.a.example.org"),
    ],
)
def test_a_certificate_for_other_names(
    refused: Refused, certificate: Certificate, names: tuple[str, ...], lacking: str
) -> None:
    certificate(*names)
    problems = refused(TLS)
    assert f"the certificate is not for {lacking}" in [each.what for each in problems]
    assert {(each.line, each.path) for each in problems} == {(3, ("tls", "certificate"))}


def test_files_that_hold_something_else(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    (tmp_path / "k.pem").write_text("no key")
    problems = refused(TLS)
    assert [each.what for each in problems] == [
        "the file holds no certificate",
        "the file holds no private key",
    ]
    assert "no key" not in str(problems)


def test_an_extra_ca(
    refused: Refused,
    accepted: Callable[[str], Settings],
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    certificate()
    assert accepted("packages: {extra_ca: [c.pem]}").packages.extra_ca == ["c.pem"]
    (tmp_path / "bad.pem").write_text("nothing")
    problems = refused("packages:\n  extra_ca:\n    - c.pem\n    - bad.pem\n")
    only(problems, 4, "packages.extra_ca[1]", "holds no certificate")
