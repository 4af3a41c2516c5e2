"""SSH public keys are really read."""

import struct
from base64 import b64encode
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dap.settings import Problem, Settings

Refused = Callable[[str], list[Problem]]


def settings_with(*keys: str) -> str:
    lines = "".join(f"      - '{key}'\n" for key in keys)
    return f"users:\n  - name: ada\n    email: ada@example.org\n    ssh_keys:\n{lines}"


def openssh(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def security_key() -> str:
    def field(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    kind = b"sk-ssh-ed25519@openssh.com"
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    blob = field(kind) + field(public) + field(b"ssh:")
    return f"{kind.decode()} {b64encode(blob).decode()} token"


def test_keys_of_the_usual_kinds(accepted: Callable[[str], Settings], public_key: str) -> None:
    keys = [
        public_key,
        openssh(ed25519.Ed25519PrivateKey.generate()) + " ada at home",
        openssh(rsa.generate_private_key(65537, 2048)),
        security_key(),
    ]
    assert accepted(settings_with(*keys)).users[0].ssh_keys == keys


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 not base64",
        "nonsense AAAAC3NzaC1lZDI1NTE5AAAAI",
        "/home/ada/.ssh/id_ed25519.pub",
    ],
)
def test_no_key(refused: Refused, bad: str) -> None:
    problems = refused(settings_with(bad))
    assert str(problems[0]).startswith("platform.yml:5: users[0].ssh_keys[0]: is no SSH public key")
    assert ".pub file" in problems[0].allowed


def test_a_truncated_key(refused: Refused, public_key: str) -> None:
    assert "is no SSH public key" in refused(settings_with(public_key[:-8]))[0].what


def test_a_key_with_options(refused: Refused, public_key: str) -> None:
    problems = refused(settings_with(f'command="id" {public_key}'))
    assert "is no SSH public key" in problems[0].what


def test_a_short_rsa_key(refused: Refused) -> None:
    problems = refused(settings_with(openssh(rsa.generate_private_key(65537, 1024))))
    assert problems[0].what == "is an RSA key of only 1024 bits"


def test_a_private_key_is_not_repeated(refused: Refused) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    indented = "".join(f"        {line}\n" for line in text.splitlines())
    problems = refused(
        f"users:\n  - name: ada\n    email: a@b.c\n    ssh_keys:\n      - |\n{indented}"
    )
    assert problems[0].line == 5
    assert "is a private key" in problems[0].what
    assert all(line not in str(problems[0]) for line in text.splitlines()[1:-1])


def test_one_key_for_two_users(refused: Refused, public_key: str) -> None:
    text = settings_with(public_key)
    text += f"  - name: bob\n    email: bob@example.org\n    ssh_keys: ['{public_key} other']\n"
    problems = refused(text)
    assert len(problems) == 1
    assert str(problems[0]).startswith("platform.yml:8: users[1].ssh_keys[0]: ")
    assert "same as users[0].ssh_keys[0] on line 5" in problems[0].what


@pytest.mark.parametrize("url", ["http://me:hunter2@proxy.example.org:3128", "http://hunter2@a"])
def test_a_password_in_a_url_is_not_repeated(refused: Refused, url: str) -> None:
    problems = refused(f"packages: {{http_proxy: '{url}'}}")
    assert "user or password" in problems[0].what
    assert "hunter2" not in str(problems[0])
