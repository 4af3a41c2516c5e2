#!/usr/bin/python
"""Install Docker's engine with Compose and buildx, and start it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import (
    APT,
    QUIET,
    CommandError,
    output,
    run,
    tail,
    write_atomically,
)
from ansible.module_utils.dap_machine import MachineError, apt_sources

DOCUMENTATION = """
module: dap_engine
short_description: Install Docker's engine with Compose and buildx, and start it
options:
  distribution: {description: ID of /etc/os-release, type: str, required: true}
  release: {description: VERSION_ID of /etc/os-release, type: str, required: true}
  install: {description: whether packages are to be installed, type: bool, required: true}
  apt_mirror: {description: Debian mirror instead of the host's, type: str, default: ""}
"""

# Where the host's package sources know Docker's own repository, its packages are taken.
UPSTREAM = [
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-compose-plugin",
    "docker-buildx-plugin",
]
DISTRIBUTION = {
    "debian": ["docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"],
    "ubuntu": ["docker.io", "docker-compose-v2", "docker-buildx", "iptables"],
}
# Debian 12 has Compose 1 only. These of Debian 13 need nothing but a libc that Debian 12 has;
# runc, tini and all else stay at Debian 12's.
PINNED = "docker.io docker-cli docker-compose docker-buildx containerd"
PREFERENCES = f"""\
Package: *
Pin: release n=trixie
Pin-Priority: 100

Package: {PINNED}
Pin: release n=trixie
Pin-Priority: 990
"""
STARTUP_S = 60


def add_newer_suite(apt_mirror: str) -> None:
    """Let a Debian 12 host see the few packages of Debian 13, from its own mirror.

    Raises CommandError when the host has no Debian mirror.
    """
    sources = [source for source in apt_sources(apt_mirror) if source.suite == "trixie"]
    if not sources:
        raise CommandError("the host's apt sources name no Debian mirror")
    source = sources[0]
    write_atomically(
        Path("/etc/apt/sources.list.d/dap-trixie.sources"), source.deb822().encode(), 0o644
    )
    write_atomically(Path("/etc/apt/preferences.d/dap-docker"), PREFERENCES.encode(), 0o644)


def install(distribution: str, release: str, apt_mirror: str) -> None:
    """Install the packages; raises CommandError with the end of apt's output."""
    policy = run(["apt-cache", "policy", "docker-ce"]).stdout
    if "Candidate: " in policy and "Candidate: (none)" not in policy:
        packages = UPSTREAM
    else:
        packages = DISTRIBUTION[distribution]
        if (distribution, release) == ("debian", "12"):
            add_newer_suite(apt_mirror)
    output([*APT, "update"], env=QUIET)
    output([*APT, "install", "--no-install-recommends", "ca-certificates", *packages], env=QUIET)


def answers() -> bool:
    """Tell whether the engine answers."""
    return run(["docker", "version", "--format", "{{.Server.Version}}"]).returncode == 0


def wait(seconds: float) -> bool:
    """Wait until the engine answers; False if it does not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers():
            return True
        time.sleep(0.3)
    return False


def start() -> str:
    """Start the engine by systemd, else by its init script, else directly; return how.

    Raises CommandError with the end of the engine's log when it does not answer.
    """
    if Path("/run/systemd/system").is_dir():
        output(["systemctl", "enable", "--now", "docker.service"])
        if wait(STARTUP_S):
            return "systemd"
        raise CommandError(
            f"docker.service: {tail(run(['journalctl', '-u', 'docker', '-n', '15']).stdout)}"
        )
    if Path("/etc/init.d/docker").exists():
        started = run(["service", "docker", "start"])
        if started.returncode == 0 and wait(15):
            return "init script"
    # Some init scripts fail on limits that a container may not set.
    log = Path("/var/log/dockerd.log")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    if wait(STARTUP_S):
        return "process"
    process.terminate()
    raise CommandError(f"dockerd: {tail(log.read_text(errors='replace'))}")


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "distribution": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "install": {"type": "bool", "required": True},
            "apt_mirror": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    changes = ["install Docker's engine, Compose and buildx"] if module.params["install"] else []
    changes.append("start Docker's engine")
    if module.check_mode:
        module.exit_json(changed=True, changes=changes)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    try:
        if module.params["install"]:
            given = module.params
            install(given["distribution"], given["release"], given["apt_mirror"])
        if answers():
            changes.pop()
        else:
            changes[-1] += f" ({start()})"
    except (CommandError, MachineError, OSError) as error:
        module.fail_json(
            msg=str(error),
            remedy="mend it, or install Docker with Compose and buildx yourself; deploy again",
        )
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
