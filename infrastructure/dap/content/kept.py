"""Secrets that content got from a service, kept on the host until the vault has them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from dap.content.plan import PlanError


class Kept:
    """The file kept.json of a directory: name → value; each is on disk when `put` returns.

    A run that ends early loses none: the next one, and the next deploy, find them there. A dry
    run only reads.
    """

    def __init__(self, directory: Path, vault: Mapping[str, str], *, check: bool = False) -> None:
        self._file = directory / "kept.json"
        self._check = check
        self._lock = Lock()
        found = self._read()
        # The vault has these by now.
        self.values = {name: value for name, value in found.items() if vault.get(name) != value}
        if self.values != found:
            self._write()

    def put(self, name: str, value: str) -> None:
        """Keep a secret."""
        with self._lock:
            self.values[name] = value
            self._write()

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PlanError(f"{self._file}: can't be read: {error}") from error
        return {str(name): str(value) for name, value in found.items()}

    def _write(self) -> None:
        if self._check:
            return
        new = self._file.with_suffix(".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(self.values, stream)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._file)
