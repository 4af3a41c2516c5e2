"""The encrypted store of secrets, in the format of ansible-vault."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import yaml

from dap.errors import DapError, InputError
from dap.replace import replace_file
from dap.secrets.keyfile import key_path, make_key, read_key
from dap.secrets.kinds import CONTENT, KINDS, USER, check_name, check_typed, make
from dap.secrets.kubeconfig import check_kubeconfig, is_kubeconfig

VAULT_FILE = Path("infrastructure", "secrets", "vault.yml")
TLS_PREFIX = "tls/"
_HEADER = re.compile(rb"\$ANSIBLE_VAULT;1\.2;AES256;([A-Za-z0-9-]{1,80})\r?\n")


class Vault:
    """Named secrets. Changes stay in memory until `save`; nothing is ever taken out.

    Use `open_vault` to make one.
    """

    def __init__(self, file: Path, label: str, key: bytes, stored: bytes, values: dict[str, str]):
        self.file = file
        self.key_file = key_path(label)
        self._label = label
        self._key = key
        self._stored = stored
        self._values = values
        self._given: dict[str, str] = {}
        self._changed = False

    def __repr__(self) -> str:
        return f"Vault({str(self.file)!r}, {len(self._values)} secrets)"

    @property
    def label(self) -> str:
        """The random name of this vault and of its key: no other project has it."""
        return self._label

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        return sorted(self._values.keys() | self._given.keys())

    def get(self, name: str) -> str:
        """The secret called `name`.

        Raises:
            DapError: there is none.
        """
        value = self._given.get(name, self._values.get(name))
        if value is None:
            raise DapError(
                f"secret {name}: there is none",
                f"make it by a deploy, or: .venv/bin/dap secret {name}",
            )
        return value

    def values(self) -> dict[str, str]:
        """All secrets by name, as rendering takes them."""
        return {**self._values, **self._given}

    def ensure(self, specs: Mapping[str, str]) -> list[str]:
        """Add the secrets that are missing, and nothing else.

        Args:
            specs: name to kind (see KINDS).

        Returns:
            Names of those that were added.

        Raises:
            InputError: a kind is unknown, or secrets that a person types are missing.
        """
        for name, kind in specs.items():
            check_name(name)
            if kind not in KINDS:
                raise InputError(
                    f"secret {name}: unknown kind; allowed: {', '.join(KINDS)}; found: {kind}"
                )
        missing = [
            name
            for name, kind in specs.items()
            if kind != CONTENT and name not in self._values and name not in self._given
        ]
        typed = [name for name in missing if specs[name] == USER]
        if typed:
            raise InputError(
                "\n".join(f"secret {name}: is missing and can't be made" for name in typed),
                "type it in: " + "; ".join(f".venv/bin/dap secret {name}" for name in typed),
            )
        for name in missing:
            self._values[name] = make(specs[name])
            self._changed = True
        return missing

    def set(self, name: str, value: str) -> None:
        """Keep `value`, which a person typed, as the secret `name`.

        Raises:
            InputError: name or value can't be used; the value is not repeated.
        """
        if check_name(name).startswith(TLS_PREFIX):
            raise InputError(
                f"secret {name}: is not typed in", "name your own certificate in platform.yml: tls"
            )
        checked = check_kubeconfig if is_kubeconfig(name) else check_typed
        self.put(name, checked(name, value))

    def put(self, name: str, value: str) -> None:
        """Keep `value`, which DAP made itself, as the secret `name`."""
        if self._values.get(name) != value:
            self._values[name] = value
            self._changed = True

    def give(self, name: str, value: str) -> None:
        """Let `name` be `value` without storing it, as with a user's own key file."""
        self._given[name] = value

    def save(self) -> bool:
        """Write the vault if a secret was added or changed; makes the key the first time.

        Returns:
            Whether the file was written.

        Raises:
            DapError: it can't be written, or another process wrote it since it was opened.
        """
        if not self._changed:
            return False
        if _read(self.file) != self._stored:
            raise DapError(f"{self.file}: was changed by another process", "run the command again")
        if not self._key:
            self._key = (
                read_key(self.key_file) if self.key_file.exists() else make_key(self.key_file)
            )
        data = _encrypt(_dump(self._values), self._label, self._key)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.file, data)
        except OSError as error:
            raise DapError(f"{self.file}: can't be written: {error.strerror}") from None
        self._stored, self._changed = data, False
        return True


def open_vault(root: Path, platform: str) -> Vault:
    """The vault of a project; a new and empty one if it has none yet.

    Args:
        root: the project's folder.
        platform: name of the platform, for the name of a new key.

    Raises:
        InputError: the vault or its key is missing, damaged, open to others or does not fit.
    """
    file = root / VAULT_FILE
    stored = _read(file)
    if not stored:
        return Vault(file, f"{platform}-{secrets.token_hex(4)}", b"", stored, {})
    header = _HEADER.match(stored)
    if not header:
        raise InputError(f"{file}: is no vault of this kind; its first line must name a vault id")
    label = header[1].decode()
    key = read_key(key_path(label))
    try:
        values = yaml.safe_load(_decrypt(stored, label, key, file))
    except (yaml.YAMLError, UnicodeDecodeError):
        # The cause would quote the content.
        raise InputError(f"{file}: what it holds is no YAML") from None
    if not isinstance(values, dict) or not all(
        isinstance(part, str) for pair in values.items() for part in pair
    ):
        raise InputError(f"{file}: what it holds is not one text for each name")
    return Vault(file, label, key, stored, values)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"{file}: can't be read: {error.strerror}") from None


def _dump(values: dict[str, str]) -> bytes:
    return yaml.safe_dump(values, sort_keys=True, width=1000).encode()


def _encrypt(plain: bytes, label: str, key: bytes) -> bytes:
    from ansible.parsing.vault import VaultLib, VaultSecret  # loads slowly

    secret = VaultSecret(key)
    data: bytes = VaultLib([(label, secret)]).encrypt(plain, secret, label)
    return data if data.endswith(b"\n") else data + b"\n"


def _decrypt(data: bytes, label: str, key: bytes, file: Path) -> bytes:
    from ansible.errors import AnsibleError  # loads slowly
    from ansible.parsing.vault import VaultLib, VaultSecret

    try:
        plain: bytes = VaultLib([(label, VaultSecret(key))]).decrypt(data)
    except AnsibleError:
        raise InputError(
            f"{file}: can't be decrypted with the key in {key_path(label)}",
            "the key is another vault's, or the file was damaged; restore it from git",
        ) from None
    return plain
