"""All parts of the baseline together: what refuses a host, and what differs on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible.module_utils.dap_baseline import disk, dockerd, firewall, kernel, ssh, upkeep
from ansible.module_utils.dap_baseline.change import Change
from ansible.module_utils.dap_baseline.host import Given, Host, packages, surplus
from ansible.module_utils.dap_baseline.state import State

# In this order: what could cut the connection comes last.
PARTS = (
    (upkeep.UPDATES, upkeep.updates),
    (upkeep.TIME, upkeep.time),
    (upkeep.LOGS, upkeep.logs),
    (disk.PART, disk.changes),
    (dockerd.PART, dockerd.changes),
    (kernel.PART, kernel.changes),
    (firewall.PART, firewall.changes),
    (ssh.PART, ssh.changes),
)


def off(platform: str) -> Given:
    """Return a baseline with nothing on."""
    return Given(platform, {name: False for name, _ in PARTS})


def concerns(given: Given, state: State) -> bool:
    """Tell whether there is anything to do or to take back for this platform."""
    if any(given.switches.values()):
        return True
    return state != State(state.platform) and state.platform == given.platform


def refused(given: Given, host: Host, state: State) -> Iterator[tuple[str, str]]:
    """Yield why the baseline can't be on this host, each with the remedy."""
    on = [name for name, each in given.switches.items() if each]
    if not on:
        return
    listed = ", ".join(f"{name}: false" for name in on)
    if state.platform and state.platform != given.platform and state != State(state.platform):
        yield (
            f"the platform {state.platform} keeps the baseline of this host",
            f"set {listed} in hosts[].baseline of this host, or the same in that platform",
        )
        return
    if not host.systemd:
        yield (
            f"baseline: {', '.join(on)}: the host is not run by systemd",
            f"set {listed} in hosts[].baseline of this host",
        )
        return
    yield from firewall.refused(given)
    yield from ssh.refused(given, host)
    yield from dockerd.refused(given)


def changes(given: Given, host: Host, state: State) -> list[tuple[str, Change]]:
    """Return what differs, in the order in which it is put right: part and change."""
    if not concerns(given, state):
        return []
    needed = upkeep.packages(given, host)
    if given.switches[firewall.PART]:
        needed[firewall.PACKAGE] = firewall.PART
    found = [("packages", change) for change in packages(needed, host, state)]
    for name, part in PARTS:
        # What was never on has nothing to take back.
        if given.switches[name] or name in state.on or name in state.pending:
            found += [(name, change) for change in part(given, host, state)]
    found += [("packages", change) for change in surplus(needed, state)]
    return found


def finished(given: Given, state: State) -> State:
    """Return what is remembered when all changes are made."""
    on = [name for name, each in given.switches.items() if each]
    return replace(state, on=on, pending=[], platform=given.platform if on else "")
