"""The kinds of secrets and how each is made."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable

from dap.errors import InputError

PASSWORD_LENGTH = 32
TOKEN_BYTES = 32
USER = "user"
CONTENT = "content"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)+")
_REFUSED = "'\"`$\\"


def _password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(PASSWORD_LENGTH))


def _token() -> str:
    return secrets.token_hex(TOKEN_BYTES)


def _ssh_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def ssh_public_key(private: str) -> str:
    """The public half of a secret of the kind ssh-key, as a line of OpenSSH without a comment.

    Raises:
        ValueError: `private` is no such key.
    """
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_private_key,
    )

    key = load_ssh_private_key(private.encode(), password=None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


_MAKERS: dict[str, Callable[[], str]] = {
    "password": _password,
    "token": _token,
    "ssh-key": _ssh_key,
}
KINDS = (*_MAKERS, USER, CONTENT)
"""password: 32 of A-Z a-z 0-9; token: 64 hex digits; ssh-key: ed25519 private key, OpenSSH text;
user: typed in by a person; content: got from a service by content, and missing until then."""


def make(kind: str) -> str:
    """A new secret of `kind`, which is one of KINDS other than user and content."""
    return _MAKERS[kind]()


def check_name(name: str) -> str:
    """`name`, if it can be that of a secret.

    Raises:
        InputError: it can't.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"secret {name!r}: is no name of a secret; allowed: two or more words of a-z, 0-9 and -"
            " joined by /, as in storage/archive/access-key"
        )
    return name


def check_typed(name: str, value: str) -> str:
    """`value`, if it can go through files of every kind unchanged.

    Raises:
        InputError: it can't; the message names the secret and what is wrong, not the value.
    """
    wrong = ""
    if not value:
        wrong = "is empty"
    elif "\n" in value or "\r" in value:
        wrong = "holds a line break"
    elif any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value):
        wrong = "holds a control character"
    else:
        refused = sorted({character for character in value if character in _REFUSED})
        if refused:
            wrong = f"holds {' and '.join(refused)}"
        elif value != value.strip():
            wrong = "begins or ends with a blank"
    if wrong:
        raise InputError(
            f"secret {name}: {wrong}; allowed: one line without quotes, $ and \\, not empty"
        )
    return value
