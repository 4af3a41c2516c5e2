"""The files with which OpenSSH, and what reads its settings, finds a platform's servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dap.catalogue.model import SshEntry, SshServer
from dap.plan import HostPlan, Plan, Stream
from dap.secrets.kinds import ssh_public_key

FOLDER = "~/.ssh/dap"
"""Where the files belong, as OpenSSH names it."""
INCLUDE = "Include dap/*.conf"
"""Line of ~/.ssh/config that reads them: `Include` starts from ~/.ssh."""


@dataclass(frozen=True)
class SshFiles:
    """Name → content: configuration and host keys; `names` is what `ssh NAME` then knows."""

    content: Mapping[str, str]
    names: tuple[str, ...]


def ssh_files(plan: Plan, secrets: Mapping[str, str], people: Sequence[str]) -> SshFiles:
    """Return the files for `people`: what they log in to by the jump, and all SSH streams.

    Host keys are those of the vault, so that no key is taken on trust.

    Args:
        plan: what runs where.
        secrets: all secrets by name.
        people: names of users.
    """
    name = plan.settings.name
    known = f"{FOLDER}/{name}.known_hosts"
    blocks, keys, names = [], [], []
    for host in plan.hosts:
        entries = list(_entries(host, people))
        for inside, entry, jump in entries:
            names.append(inside)
            blocks.append(
                _block(
                    f"{inside} {inside}.{name}",
                    known,
                    HostName=inside,
                    Port=entry.port,
                    User=entry.user,
                    ProxyJump=jump,
                )
            )
            keys.append(_key(inside, entry.port, secrets[entry.host_key]))
        for stream, server in _streams(host, people):
            options: dict[str, str | int] = {"Port": stream.listen, "User": server.user}
            port = stream.listen
            if stream.private:
                if not entries:
                    continue
                # Another host's, behind the one that everybody reaches.
                options |= {"HostName": host.host.listen, "ProxyJump": _jump(plan.service_host)}
                options["HostKeyAlias"] = stream.hostname
                port = 22  # a key under an alias has no port
            blocks.append(_block(stream.hostname, known, **options))
            keys.append(_key(stream.hostname, port, secrets[server.host_key]))
    head = (
        f"# Written by `make ssh-config` of the platform {name}: changes are lost the next time.\n"
    )
    return SshFiles(
        {f"{name}.conf": "\n".join([head, *blocks]), f"{name}.known_hosts": "".join(keys)},
        tuple(names),
    )


def _entries(host: HostPlan, people: Sequence[str]) -> Iterator[tuple[str, SshEntry, str]]:
    """Yield name and description of what is reached by the jump, and the jump's name."""
    jump = _jump(host)
    for service in host.services:
        if jump and service.ssh and set(service.ssh.people) & set(people):
            yield service.name, service.ssh, jump


def _jump(host: HostPlan) -> str:
    """Return the name of a host's jump; empty if it has none."""
    jumps = (stream.hostname for stream in host.streams if stream.ssh and stream.ssh.jump)
    return next(jumps, "")


def _streams(host: HostPlan, people: Sequence[str]) -> Iterator[tuple[Stream, SshServer]]:
    """Yield the streams where SSH servers answer, less those of others' own."""
    others = {
        service.name
        for service in host.services
        if service.ssh and not set(service.ssh.people) & set(people)
    }
    for stream in host.streams:
        if stream.ssh and stream.service not in others:
            yield stream, stream.ssh


def _block(names: str, known: str, **options: str | int) -> str:
    lines = [f"Host {names}", *(f"  {key} {value}" for key, value in options.items())]
    lines += [f"  UserKnownHostsFile {known}", "  StrictHostKeyChecking yes"]
    return "\n".join(lines) + "\n"


def _key(name: str, port: int, private: str) -> str:
    place = name if port == 22 else f"[{name}]:{port}"
    return f"{place} {ssh_public_key(private)}\n"
