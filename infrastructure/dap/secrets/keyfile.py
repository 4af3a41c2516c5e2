"""The file with the vault's key: outside git, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from dap.errors import DapError, InputError

VARIABLE = "DAP_VAULT_KEY_FILE"
_KEY_BYTES = 32


def key_path(label: str) -> Path:
    """Where the key of the vault with the id `label` is."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".config" / "dap" / f"{label}.key"


def read_key(path: Path) -> bytes:
    """The key in `path`, without the line break at its end.

    Raises:
        InputError: it is missing, empty, not readable, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        key = path.read_bytes().strip()
    except FileNotFoundError:
        raise InputError(
            f"{path}: the vault's key is missing",
            f"copy it from where the platform was first deployed, or name it in ${VARIABLE}",
        ) from None
    except OSError as error:
        raise InputError(f"{path}: the vault's key can't be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(
            f"{path}: others may read the vault's key; allowed: mode 0600;"
            f" found: {stat.S_IMODE(mode):04o}",
            f"chmod 600 {path}",
        )
    if not key:
        raise InputError(f"{path}: the vault's key is empty")
    return key


def make_key(path: Path) -> bytes:
    """A new key, written to `path`, which must not be there yet.

    Raises:
        DapError: the file can't be made.
    """
    key = secrets.token_hex(_KEY_BYTES).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(key + b"\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise DapError(f"{path}: the vault's key can't be written: {error.strerror}") from None
    return key
