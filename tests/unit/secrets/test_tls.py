"""The private CA and the server's certificate."""

import datetime as dt
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from dap.errors import InputError
from dap.secrets import Vault, certificates, ensure_tls
from dap.settings import Settings

from tests.certificates import authority, pem, server, write

OpenVault = Callable[[], Vault]

ALL = ["tls/ca-key", "tls/ca-certificate", "tls/key", "tls/certificate"]
SERVER = ["tls/key", "tls/certificate"]


def settings(domain: str = "dap.localhost", **more: object) -> Settings:
    return Settings.model_validate({"domain": domain, **more})


def loaded(vault: Vault, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(vault.get(name).encode())


@pytest.fixture
def vault(opened: OpenVault, root: Path) -> Vault:
    vault = opened()
    assert ensure_tls(vault, settings(), root) == ALL
    return vault


def test_the_authority(vault: Vault) -> None:
    authority = loaded(vault, "tls/ca-certificate")
    key = authority.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    life = authority.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=3650) < life < dt.timedelta(days=3654)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value.ca
    assert constraints.critical


def test_the_servers_names(vault: Vault) -> None:
    extension = loaded(vault, "tls/certificate").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert extension.value.get_values_for_type(x509.DNSName) == ["dap.localhost", "*.dap.localhost"]


def test_openssl_accepts_it_strictly(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text(vault.get("tls/ca-certificate"))
    (tmp_path / "server").write_text(vault.get("tls/certificate"))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    for name in ("dap.localhost", "mlflow.dap.localhost"):
        done = subprocess.run(
            [*command, "-verify_hostname", name, "-CAfile", "ca", "server"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (tmp_path / "key").write_text(vault.get("tls/key"))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "server", tmp_path / "key")


def test_nothing_is_made_twice(vault: Vault, opened: OpenVault, root: Path) -> None:
    vault.save()
    again = opened()
    assert ensure_tls(again, settings(), root) == []
    assert not again.save()


def test_another_domain_gets_another_certificate_of_the_same_authority(
    vault: Vault, root: Path
) -> None:
    authority = vault.get("tls/ca-certificate")
    assert ensure_tls(vault, settings("a.example.org"), root) == SERVER
    assert vault.get("tls/ca-certificate") == authority
    assert loaded(vault, "tls/certificate").issuer == loaded(vault, "tls/ca-certificate").subject


@pytest.mark.parametrize(("days", "new"), [(29, SERVER), (31, [])])
def test_it_is_renewed_in_time(
    opened: OpenVault, root: Path, monkeypatch: pytest.MonkeyPatch, days: int, new: list[str]
) -> None:
    vault = opened()
    monkeypatch.setattr(certificates, "LEAF_LIFE", dt.timedelta(days=days))
    ensure_tls(vault, settings(), root)
    monkeypatch.undo()
    assert ensure_tls(vault, settings(), root) == new


def test_the_authority_is_renewed_in_time(
    opened: OpenVault, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = opened()
    monkeypatch.setattr(certificates, "CA_LIFE", dt.timedelta(days=29))
    ensure_tls(vault, settings(), root)
    end = loaded(vault, "tls/ca-certificate").not_valid_after_utc
    assert loaded(vault, "tls/certificate").not_valid_after_utc <= end
    monkeypatch.undo()
    assert ensure_tls(vault, settings(), root) == ALL


def test_two_authorities_have_two_names(opened: OpenVault, root: Path) -> None:
    subjects = set()
    for _ in range(2):
        vault = opened()
        ensure_tls(vault, settings(name="a" * 63), root)
        subjects.add(loaded(vault, "tls/ca-certificate").subject)
    assert len(subjects) == 2


def test_the_users_own_files_are_read_not_stored(
    vault: Vault, opened: OpenVault, root: Path
) -> None:
    chain = vault.get("tls/certificate") + vault.get("tls/ca-certificate")
    (root / "c.pem").write_text(chain)
    (root / "k.pem").write_text(vault.get("tls/key"))
    own = settings(tls={"certificate": "c.pem", "key": "k.pem"})
    other = opened()
    assert ensure_tls(other, own, root) == []
    assert other.get("tls/certificate") == chain
    assert other.get("tls/key") == vault.get("tls/key")
    assert other.get("tls/ca-certificate") == vault.get("tls/ca-certificate")
    assert "tls/ca-key" not in other.names()
    assert not other.save()


def test_the_users_files_are_gone(opened: OpenVault, root: Path) -> None:
    own = settings(tls={"certificate": "c.pem", "key": "k.pem"})
    with pytest.raises(InputError, match=r"c\.pem: can't be read"):
        ensure_tls(opened(), own, root)


def test_a_chain_without_its_root(opened: OpenVault, root: Path) -> None:
    ca = authority("root")
    middle = authority("middle", ca)
    write(root, [server(["dap.localhost", "*.dap.localhost"], middle), middle])
    files = {"certificate": "c.pem", "key": "k.pem"}
    with pytest.raises(InputError, match=r"c\.pem: does not end with a root"):
        ensure_tls(opened(), settings(tls=files), root)
    (root / "company.pem").write_text(pem([ca]))
    vault = opened()
    ensure_tls(vault, settings(tls=files, packages={"extra_ca": ["company.pem"]}), root)
    assert vault.get("tls/ca-certificate") == pem([ca])
    assert vault.get("tls/certificate") == (root / "c.pem").read_text()
