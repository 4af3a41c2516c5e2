"""SSH servers show the host key that people were told, and let nobody in without a key."""

from __future__ import annotations

import subprocess
from pathlib import Path

from acceptance import Deployed, expect_none
from dap.secrets.kinds import ssh_public_key

TIMEOUT_S = 30


def welcome(platform: Deployed, host: str, port: int, secret: str, folder: Path) -> str:
    """Return what is wrong with a server: it shows another key, or lets a stranger in."""
    key = ssh_public_key(platform.prepared.secrets[secret])
    known = folder / "known_hosts"
    known.write_text(f"[{host}]:{port} {key}\n")
    options = {
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": folder / "none",
        "ConnectTimeout": 10,
    }
    done = subprocess.run(
        [
            *("ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())),
            *("-p", str(port), f"dap.verify@{host}", "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    # Refused after the host key was found right.
    if done.returncode == 255 and "Permission denied (publickey)" in done.stderr:
        return ""
    return done.stderr.strip() or "come in"


def test_ssh_from_outside(platform: Deployed, tmp_path: Path) -> None:
    """At every port of the proxy with an SSH server behind it."""
    streams = [one for one in platform.prepared.plan.streams if one.ssh]
    expect_none(
        (
            f"{stream.hostname}:{stream.listen} says to somebody without a key: {said}"
            for stream in streams
            if stream.ssh and stream.service not in platform.resting
            if (
                said := welcome(
                    platform, stream.hostname, stream.listen, stream.ssh.host_key, tmp_path
                )
            )
        ),
        f"docker compose logs of the service in {platform.directory}; make deploy",
    )


def test_ssh_inside(platform: Deployed, tmp_path: Path) -> None:
    """As somebody who is past the jump would meet it."""
    problems = []
    for service in platform.services:
        if service.ssh is None or service.name in platform.resting:
            continue
        networks = platform.containers[service.name]["NetworkSettings"]["Networks"]
        address = str(networks[f"{platform.name}_edge"]["IPAddress"])
        said = welcome(platform, address, service.ssh.port, service.ssh.host_key, tmp_path)
        if said:
            problems.append(f"{service.name} says to somebody without a key: {said}")
    expect_none(problems, f"docker compose logs of it in {platform.directory}; make deploy")
