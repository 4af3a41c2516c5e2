"""A timer that looks at all file systems and leaves what it finds where `status` reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_baseline import watch_disks
from ansible.module_utils.dap_baseline.change import Change, file
from ansible.module_utils.dap_baseline.host import Given, Host
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import output, run

PART = "disk"
PROGRAM = Path("/usr/local/lib/dap/watch-disks.py")
SERVICE = Path("/etc/systemd/system/dap-disk.service")
TIMER_NAME = "dap-disk.timer"
TIMER = Path("/etc/systemd/system", TIMER_NAME)
FINDINGS = Path("/var/lib/dap/findings/disk.json")
SERVICE_TEXT = f"""\
# Of the platform's baseline (hosts[].baseline.disk).
[Unit]
Description=Look for file systems that run full

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {PROGRAM} {FINDINGS}
ProtectHome=read-only
NoNewPrivileges=yes
"""
TIMER_TEXT = """\
# Of the platform's baseline (hosts[].baseline.disk).
[Unit]
Description=Look for file systems that run full

[Timer]
OnActiveSec=0
OnUnitActiveSec=5min
AccuracySec=30s

[Install]
WantedBy=timers.target
"""


def program() -> str:
    """Return the source of the program that the timer runs, from wherever it was imported."""
    spec: Any = watch_disks.__spec__
    return str(spec.loader.get_source(watch_disks.__name__))


def changes(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what the watch differs in."""
    on = given.switches[PART]
    files = [
        *file(PROGRAM, program() if on else None, mode=0o755),
        *file(SERVICE, SERVICE_TEXT if on else None),
        *file(TIMER, TIMER_TEXT if on else None),
    ]
    if on:
        yield from files
        well = host.starts(TIMER_NAME) and host.runs(TIMER_NAME)
        if files or not well or PART in state.pending:
            yield Change(f"start {TIMER_NAME}, now and at each boot", _start)
    elif files:
        yield Change(f"stop {TIMER_NAME}", _stop)
        yield from files
        yield Change("forget the watch's units", _forget)


def _start() -> None:
    output(["systemctl", "daemon-reload"])
    output(["systemctl", "enable", TIMER_NAME])
    output(["systemctl", "restart", TIMER_NAME])


def _stop() -> None:
    # Without its file systemd may not know the unit any more, and there is nothing to stop.
    run(["systemctl", "disable", "--now", TIMER_NAME])


def _forget() -> None:
    FINDINGS.unlink(missing_ok=True)
    if FINDINGS.parent.is_dir() and not any(FINDINGS.parent.iterdir()):
        FINDINGS.parent.rmdir()
    output(["systemctl", "daemon-reload"])
