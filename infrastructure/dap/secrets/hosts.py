"""Certificates by which the hosts of a platform know each other."""

from __future__ import annotations

import datetime as dt

from dap.secrets.certificates import (
    CLIENT,
    SERVER,
    Pair,
    ends_soon,
    issue,
    make_authority,
    names_of,
    usages_of,
)
from dap.secrets.tls import put_pair
from dap.secrets.vault import Vault
from dap.settings import Settings

HOSTS_CA_KEY, HOSTS_CA = "tls/hosts-ca-key", "tls/hosts-ca-certificate"


def host_key(name: str) -> str:
    """Return the name of the secret that is a host's key."""
    return f"tls/host-{name}-key"


def host_certificate(name: str) -> str:
    """Return the name of the secret that is a host's certificate."""
    return f"tls/host-{name}-certificate"


def ensure_hosts(vault: Vault, settings: Settings) -> list[str]:
    """Give the vault a CA of the hosts, and a key and a certificate for each.

    A platform of one host has none. The service host alone may act as a client of the others.
    What ends within 30 days or does not fit is made anew.

    Args:
        vault: gets tls/hosts-ca-key, tls/hosts-ca-certificate, and tls/host-NAME-key and
            tls/host-NAME-certificate of each host.
        settings: name the hosts.

    Returns:
        Names of the secrets that are new.
    """
    if len(settings.hosts) == 1:
        return []
    now = dt.datetime.now(dt.UTC)
    known = set(vault.names())
    new: list[str] = []
    if not {HOSTS_CA_KEY, HOSTS_CA} <= known or ends_soon(vault.get(HOSTS_CA), now):
        authority = make_authority(f"{settings.name} hosts", now)
        new += put_pair(vault, HOSTS_CA_KEY, HOSTS_CA, authority)
    authority = Pair(vault.get(HOSTS_CA_KEY), vault.get(HOSTS_CA))
    remade = bool(new)
    for host in settings.hosts:
        key, certificate = host_key(host.name), host_certificate(host.name)
        usages = [SERVER, CLIENT] if "service" in host.roles else [SERVER]
        if (
            remade
            or not {key, certificate} <= known
            or names_of(vault.get(certificate)) != [host.name]
            or usages_of(vault.get(certificate)) != usages
            or ends_soon(vault.get(certificate), now)
        ):
            new += put_pair(vault, key, certificate, issue(authority, [host.name], usages, now))
    return new
