"""Docker's engine: networks to give, limits of logs, containers that outlive a restart of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_baseline.change import Change, difference, text_of
from ansible.module_utils.dap_baseline.host import Given, Host
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import CommandError, output, run, tail, write_atomically

PART = "docker"
FILE = Path("/etc/docker/daemon.json")
# Docker's own range, in pieces of 254 addresses: 4096 networks instead of 31.
POOLS = [{"base": "172.16.0.0/12", "size": 24}]
LOGS = {"max-size": "10m", "max-file": "3"}
LOG_DRIVERS = (None, "json-file", "local")  # others refuse these options
ANSWERS_S = 60


def wanted(own: dict[str, Any], *, swarm: bool) -> dict[str, Any]:
    """Return the keys to put beside an owner's own, which stay as they are.

    Args:
        own: what daemon.json says without the baseline.
        swarm: whether the engine is of a swarm, which can't be with live-restore.
    """
    found: dict[str, Any] = {}
    if "default-address-pools" not in own and "bip" not in own:
        found["default-address-pools"] = POOLS
    if "log-opts" not in own and own.get("log-driver") in LOG_DRIVERS:
        found["log-opts"] = LOGS
    if "live-restore" not in own and not swarm:
        found["live-restore"] = True
    return found


def without(present: dict[str, Any], put: dict[str, Any]) -> dict[str, Any]:
    """Return what is the owner's: all but the keys that have the value that was put there."""
    return {key: each for key, each in present.items() if key not in put or put[key] != each}


def refused(given: Given) -> Iterator[tuple[str, str]]:
    """Yield why the part can't be on, with the remedy."""
    if not given.switches[PART]:
        return
    try:
        present = json.loads(text_of(FILE) or "{}")
    except ValueError as error:
        yield (f"baseline.docker: {FILE} is no JSON: {error}", "mend it")
        return
    if not isinstance(present, dict):
        yield (f"baseline.docker: {FILE} is no JSON object", "mend it")


def swarms() -> bool:
    """Tell whether the engine is of a swarm; False if it does not answer."""
    if shutil.which("docker") is None:
        return False
    told = run(["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"]).stdout.strip()
    return told not in ("", "inactive")


def await_told(what: str, wanted: str, seconds: float) -> bool:
    """Wait until `docker info` says something; False if it does not in time.

    Args:
        what: template of what is asked.
        wanted: the answer; empty: any.
        seconds: how long to wait.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = run(["docker", "info", "--format", what])
        if told.returncode == 0 and (not wanted or told.stdout.strip() == wanted):
            return True
        time.sleep(0.3)
    return False


def restart(*, lives_on: bool) -> None:
    """Restart the engine; raises CommandError if it does not answer then.

    Args:
        lives_on: the file asks for live-restore. Read by a reload first, it lets the containers
            go on.
    """
    if lives_on:
        output(["systemctl", "reload", "docker.service"])
        await_told("{{.LiveRestoreEnabled}}", "true", ANSWERS_S)
    output(["systemctl", "restart", "docker.service"])
    if not await_told("{{.ServerVersion}}", "", ANSWERS_S):
        log = run(["journalctl", "--unit=docker", "--lines=15", "--output=cat"]).stdout
        raise CommandError(f"docker.service does not answer after a restart: {tail(log)}")


def changes(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what the engine's configuration differs in."""
    on = given.switches[PART]
    if not on and not state.docker:
        return
    text = text_of(FILE)
    present = json.loads(text or "{}")
    own = without(present, state.docker)
    swarm = on and "live-restore" not in present and swarms()
    put = wanted(own, swarm=swarm) if on else {}
    new = {**own, **put}
    runs = host.runs("docker.service")
    if new == present and not (runs and PART in state.pending):
        return
    after = f"{json.dumps(new, indent=2)}\n" if new else None

    def do() -> None:
        before, state.docker = state.docker, put
        if after is None:
            FILE.unlink(missing_ok=True)
        else:
            write_atomically(FILE, after.encode(), 0o644)
        if not runs:
            return
        try:
            restart(lives_on=bool(new.get("live-restore")))
        except CommandError:
            # An engine that runs with what it had is better than none.
            if text is None:
                FILE.unlink(missing_ok=True)
            else:
                write_atomically(FILE, text.encode(), 0o644)
            state.docker = before
            run(["systemctl", "reset-failed", "docker.service"])
            run(["systemctl", "restart", "docker.service"])
            raise

    told = ", ".join(sorted({*put, *state.docker}))
    what = f"set {told} in {FILE}" if put else f"take {told} out of {FILE}"
    if runs:
        what += "; restart Docker's engine"
        what += ", containers go on" if new.get("live-restore") else ", containers start anew"
    yield Change(what, do, difference(FILE, text, after))
