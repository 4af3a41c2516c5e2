"""Secrets that content got from services go into the vault, and from there to who needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from dap.engine.inventory import kept_file
from dap.engine.prepare import Prepared
from dap.errors import DapError
from dap.plan import secret_specs
from dap.render import render


def take(prepared: Prepared) -> Prepared | None:
    """Save what content left of secrets in the vault; return the project as it is with them.

    None: there is nothing that the vault has not.

    Raises:
        DapError: content keeps a secret that no folder declares, or the vault can't be written.
    """
    file = kept_file(prepared.work)
    if not file.exists():
        return None
    return keep(prepared, json.loads(file.read_text(encoding="utf-8")))


def keep(prepared: Prepared, found: Mapping[str, str]) -> Prepared | None:
    """Save secrets that content got in the vault; return the project as it is with them.

    Args:
        prepared: the project.
        found: by name.

    Returns:
        None: there is nothing that the vault has not.

    Raises:
        DapError: one is declared by no folder, or the vault can't be written.
    """
    known, vault = prepared.secrets, prepared.vault
    new = {name: value for name, value in found.items() if known.get(name) != value}
    if not new:
        return None
    unknown = sorted(new.keys() - secret_specs(prepared.plan).keys())
    if unknown:
        raise DapError(f"content keeps the secret {unknown[0]}, which no folder declares")
    for name, value in new.items():
        vault.put(name, value)
    vault.save()
    return replace(prepared, trees=render(prepared.plan, vault), new_secrets=())
