"""From the project's folder to what an engine brings to the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dap.catalogue import read_catalogue
from dap.plan import Plan, make_plan, secret_specs
from dap.render import Tree, render
from dap.secrets import Vault, ensure_hosts, ensure_tls, open_vault
from dap.secrets.vault import VAULT_FILE
from dap.settings import load


@dataclass(frozen=True)
class Prepared:
    """A project, ready to be deployed; `new_secrets` are not saved yet."""

    root: Path
    plan: Plan
    vault: Vault
    new_secrets: tuple[str, ...]
    trees: tuple[Tree, ...]

    @property
    def secrets(self) -> dict[str, str]:
        """All secrets by name."""
        return self.vault.values()

    @property
    def work(self) -> Path:
        """Where what is written for Ansible stands while it runs."""
        return self.root / ".dap" / "run"

    def log(self, verb: str, time: str) -> Path:
        """Return the log file of a run that began at `time`."""
        return self.root / ".dap" / "logs" / f"{time}-{verb}.log"


def prepare(root: Path, given: Mapping[str, str] | None = None) -> Prepared:
    """Read and check the project at `root`, make missing secrets in memory, render the trees.

    Args:
        root: the project's folder.
        given: its secrets, where the vault is not: none is missing then.

    Raises:
        InputError: something in it is wrong; nothing was changed.
    """
    # Where the vault is not, files that the settings name are not either; they were checked before.
    settings = load(root / "platform.yml", with_files=given is None)
    plan = make_plan(settings, read_catalogue(root))
    if given is not None:
        vault = Vault(root / VAULT_FILE, settings.name, b"", b"", dict(given))
        return Prepared(root, plan, vault, (), render(plan, vault))
    vault = open_vault(root, settings.name)
    new = vault.ensure(secret_specs(plan))
    new += [*ensure_tls(vault, settings, root), *ensure_hosts(vault, settings)]
    return Prepared(root, plan, vault, tuple(new), render(plan, vault))
