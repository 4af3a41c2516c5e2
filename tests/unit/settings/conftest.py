import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from dap.errors import InputError
from dap.settings import Problem, Settings, SettingsError, load

Write = Callable[[str], Path]
Refused = Callable[[str], list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        file = tmp_path / "platform.yml"
        file.write_text(text)
        return file

    return put


@pytest.fixture
def accepted(write: Write) -> Callable[[str], Settings]:
    return lambda text: load(write(text))


@pytest.fixture
def refused(write: Write) -> Refused:
    """The problems of a settings text, which must be refused as bad input."""

    def problems(text: str) -> list[Problem]:
        with pytest.raises(SettingsError) as caught:
            load(write(text))
        assert isinstance(caught.value, InputError)
        assert caught.value.status == 2
        found = list(caught.value.problems)
        assert caught.value.message.splitlines() == [str(problem) for problem in found]
        return found

    return problems


Certificate = Callable[..., None]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Writes c.pem and k.pem for the given names and days from today."""

    def make(
        *names: str,
        days: tuple[int, int] = (-10, 10),
        passphrase: bytes = b"",
        other_key: bool = False,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        signed = builder.sign(key, hashes.SHA256())
        (tmp_path / "c.pem").write_bytes(signed.public_bytes(Encoding.PEM))
        kept = ec.generate_private_key(ec.SECP256R1()) if other_key else key
        lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        (tmp_path / "k.pem").write_bytes(
            kept.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        )

    return make


@pytest.fixture(scope="session")
def public_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
