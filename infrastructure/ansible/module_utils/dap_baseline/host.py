"""The host that the baseline is for: its units, packages and kind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_baseline.change import Change
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import APT, QUIET, output, run

# Whatever a part may ask about, so that one question answers for all.
PACKAGES = (
    *("unattended-upgrades", "nftables", "logrotate", "openssh-server", "openssh-client"),
    *("systemd-timesyncd", "chrony", "ntpsec", "openntpd"),
)
UNITS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "logrotate.timer"),
    *("systemd-timesyncd.service", "chrony.service", "ntpsec.service", "openntpd.service"),
    *("dap-firewall.service", "dap-disk.timer", "docker.service"),
)


@dataclass(frozen=True)
class Given:
    """What a deploy says about the baseline of a host.

    Attributes:
        platform: its name.
        switches: part → whether it is on.
        everyone: TCP ports of the platform that are open to everybody.
        service: TCP ports of the platform that are open to the service host alone.
        service_address: IP address of the service host.
        open: further ports, as 9100, 9100/tcp or 51820/udp.
        forwarding: whether SSH to another host may go through this one.
    """

    platform: str
    switches: Mapping[str, bool]
    everyone: tuple[int, ...] = ()
    service: tuple[int, ...] = ()
    service_address: str = ""
    open: tuple[str, ...] = ()
    forwarding: bool = False


def given(platform: str, told: Mapping[str, Any]) -> Given:
    """Read what the inventory says."""
    return Given(
        platform,
        dict(told["switches"]),
        tuple(int(port) for port in told["everyone"]),
        tuple(int(port) for port in told["service"]),
        str(told["service_address"]),
        tuple(str(port) for port in told["open"]),
        bool(told["forwarding"]),
    )


class Host:
    """A host as it is now; what is asked for is asked once."""

    @property
    def systemd(self) -> bool:
        """Whether systemd runs it."""
        return Path("/run/systemd/system").is_dir()

    @cached_property
    def container(self) -> bool:
        """Whether it is a container, whose kernel and clock are another's."""
        if Path("/run/systemd/container").exists():
            return True
        return run(["systemd-detect-virt", "--quiet", "--container"]).returncode == 0

    @cached_property
    def _installed(self) -> set[str]:
        query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
        lines = run(query).stdout.splitlines()  # fails where one of them is unknown
        return {line.split()[0] for line in lines if line.endswith(" installed")}

    def installed(self, package: str) -> bool:
        """Tell whether a package is there."""
        return package in self._installed

    @cached_property
    def _units(self) -> dict[str, dict[str, str]]:
        properties = "--property=Id,LoadState,ActiveState,UnitFileState"
        told = output(["systemctl", "show", properties, *UNITS])
        found = {}
        for block in told.strip().split("\n\n"):
            fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            found[fields.get("Id", "")] = fields
        return found

    def unit(self, name: str, field: str) -> str:
        """Return what systemd says of a unit: its LoadState, ActiveState or UnitFileState."""
        return self._units.get(name, {}).get(field, "")

    def runs(self, unit: str) -> bool:
        """Tell whether a unit is active."""
        return self.unit(unit, "ActiveState") == "active"

    def starts(self, unit: str) -> bool:
        """Tell whether a unit starts by itself at boot."""
        return self.unit(unit, "UnitFileState") in ("enabled", "enabled-runtime", "static")


def packages(wanted: Mapping[str, str], host: Host, state: State) -> Iterator[Change]:
    """Yield what installs packages, and removes those that were installed for what is off.

    Args:
        wanted: package → switch that it is for.
        host: where.
        state: remembers what was installed.
    """
    missing = {name: part for name, part in wanted.items() if not host.installed(name)}
    if missing:

        def install() -> None:
            state.packages.update(missing)
            output([*APT, "update"], env=QUIET)
            output([*APT, "install", "--no-install-recommends", *sorted(missing)], env=QUIET)

        yield Change(f"install {', '.join(sorted(missing))}", install)


def surplus(wanted: Iterable[str], state: State) -> Iterator[Change]:
    """Yield what removes packages that were installed for a part that is off now."""
    gone = sorted(set(state.packages) - set(wanted))
    if gone:

        def purge() -> None:
            output([*APT, "purge", *gone], env=QUIET)
            for name in gone:
                del state.packages[name]

        yield Change(f"remove {', '.join(gone)}, which the baseline had installed", purge)


def enabled(
    unit: str, part: str, host: Host, state: State, *, run_now: bool = True
) -> Iterator[Change]:
    """Yield what makes a unit start now and at each boot."""
    if host.starts(unit) and (host.runs(unit) or not run_now):
        return

    def do() -> None:
        if not host.starts(unit):
            state.units[unit] = part
        output(["systemctl", "enable", *(["--now"] if run_now else []), unit])

    yield Change(f"start {unit}, now and at each boot", do)


def disabled(part: str, host: Host, state: State) -> Iterator[Change]:
    """Yield what stops the units again that were enabled for a part."""
    for unit in [name for name, owner in state.units.items() if owner == part]:

        def do(unit: str = unit) -> None:
            if host.unit(unit, "LoadState") == "loaded":
                output(["systemctl", "disable", "--now", unit])
            del state.units[unit]

        yield Change(f"stop {unit}, which the baseline had started", do)


def ssh_connection() -> tuple[str, int] | None:
    """Return address and port of this host that the deploy's own SSH connection came in at.

    None without one. sudo hides it from the environment, so that of our ancestors is read.
    """
    process = os.getpid()
    while process > 1:
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        for entry in environment:
            if entry.startswith(b"SSH_CONNECTION="):
                fields = entry.decode().partition("=")[2].split()
                return fields[2], int(fields[3])
        parent = re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)
        process = int(parent[1]) if parent else 0
    return None
