"""What keeps a host well by itself: security updates, the clock, the size of logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.dap_baseline.change import Change, file
from ansible.module_utils.dap_baseline.host import Given, Host, disabled, enabled
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import output

UPDATES, TIME, LOGS = "updates", "time", "logs"
UPDATES_PACKAGE, LOGS_PACKAGE = "unattended-upgrades", "logrotate"
UPDATES_FILE = Path("/etc/apt/apt.conf.d/52dap")
UPDATES_TEXT = """\
// Of the platform's baseline (hosts[].baseline.updates).
APT::Periodic::Enable "1";
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::MinimalSteps "true";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
"""
UPDATES_UNITS = ("apt-daily.timer", "apt-daily-upgrade.timer")
JOURNAL_FILE = Path("/etc/systemd/journald.conf.d/dap.conf")
JOURNAL_TEXT = """\
# Of the platform's baseline (hosts[].baseline.logs).
[Journal]
Storage=persistent
SystemMaxUse=1G
SystemKeepFree=1G
RuntimeMaxUse=128M
MaxRetentionSec=90day
"""
# Package and unit of each time service; the first is installed where there is none.
CLOCKS = (
    ("systemd-timesyncd", "systemd-timesyncd.service"),
    ("chrony", "chrony.service"),
    ("ntpsec", "ntpsec.service"),
    ("openntpd", "openntpd.service"),
)


def packages(given: Given, host: Host) -> dict[str, str]:
    """Return package → switch of what the parts need."""
    found = {}
    if given.switches[UPDATES]:
        found[UPDATES_PACKAGE] = UPDATES
    if given.switches[LOGS]:
        found[LOGS_PACKAGE] = LOGS
    if given.switches[TIME]:
        found[clock(host)[0]] = TIME
    return found


def clock(host: Host) -> tuple[str, str]:
    """Return package and unit of the time service that the host has, or is to get."""
    there = [each for each in CLOCKS if host.installed(each[0])]
    running = [each for each in there if host.runs(each[1])]
    return (*running, *there, CLOCKS[0])[0]


def updates(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what security updates need."""
    if given.switches[UPDATES]:
        yield from file(UPDATES_FILE, UPDATES_TEXT)
        for unit in UPDATES_UNITS:
            yield from enabled(unit, UPDATES, host, state)
    else:
        yield from file(UPDATES_FILE, None)
        yield from disabled(UPDATES, host, state)


def time(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what the clock needs. In a container it is the machine's, and no service is run."""
    if given.switches[TIME]:
        yield from enabled(clock(host)[1], TIME, host, state, run_now=not host.container)
    else:
        yield from disabled(TIME, host, state)


def logs(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what limits the size of logs."""
    on = given.switches[LOGS]
    told = list(file(JOURNAL_FILE, JOURNAL_TEXT if on else None))
    yield from told
    if told or LOGS in state.pending:
        yield Change(
            "let the journal read its configuration",
            _restart_journal,
        )
    if on:
        yield from enabled("logrotate.timer", LOGS, host, state)
    else:
        yield from disabled(LOGS, host, state)


def _restart_journal() -> None:
    output(["systemctl", "restart", "systemd-journald.service"])
