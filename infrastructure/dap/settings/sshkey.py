"""Checks SSH public keys by really reading them."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from dap.settings.types import refuse

_ALLOWED = "one line of a .pub file: type, key and perhaps a comment (ed25519, ecdsa or rsa)"
_LEAST_RSA_BITS = 2048


def check_ssh_key(text: str) -> str:
    """`text` without blanks around it, if it is an SSH public key that can be used to log in.

    Raises:
        PydanticCustomError: it is something else; a private key is not repeated in the message.
    """
    text = text.strip()
    if "PRIVATE KEY" in text:
        refuse("is a private key; replace it, for it is no longer private", _ALLOWED, secret=True)
    if not text.isprintable():
        refuse("is not on one line", _ALLOWED)
    if "-cert-v01@" in text.partition(" ")[0]:
        refuse("is an SSH certificate", _ALLOWED)
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm, UnicodeError):
        refuse("is no SSH public key", _ALLOWED)
    if isinstance(key, DSAPublicKey):
        refuse("is a DSA key, which servers no longer accept", _ALLOWED)
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        refuse(f"is an RSA key of only {key.key_size} bits", f"{_LEAST_RSA_BITS} bits or more")
    return text
