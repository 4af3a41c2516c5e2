from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dap.errors import InputError
from dap.settings import Problem, Settings, SettingsError, load

from tests.certificates import DAYS, authority, key_pem, pem, server

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
    """Writes c.pem, with its CA, and k.pem for the given names and days from today."""

    def make(
        *names: str,
        days: tuple[int, int] = DAYS,
        passphrase: bytes = b"",
        other_key: bool = False,
    ) -> None:
        root = authority("root")
        leaf = server(names, root, days=days)
        kept = server(names, root) if other_key else leaf
        (tmp_path / "c.pem").write_text(pem([leaf, root]))
        (tmp_path / "k.pem").write_text(key_pem(kept, passphrase))

    return make


@pytest.fixture(scope="session")
def public_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
