"""Secrets of a platform: made once, kept encrypted, never shown."""

from dap.secrets.hosts import ensure_hosts
from dap.secrets.kinds import KINDS
from dap.secrets.tls import ensure_tls
from dap.secrets.vault import Vault, open_vault

__all__ = ["KINDS", "Vault", "ensure_hosts", "ensure_tls", "open_vault"]
