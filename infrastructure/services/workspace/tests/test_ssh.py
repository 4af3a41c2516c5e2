"""Workspaces show their own host key, and let nobody in but by key."""

from __future__ import annotations

import subprocess
from pathlib import Path

from acceptance import Deployed, Workspace, expect
from dap.secrets.kinds import ssh_public_key

FOLDER = "workspace"


def test_ssh(platform: Deployed, workspace: Workspace, tmp_path: Path) -> None:
    stream = next(s for s in platform.prepared.plan.streams if s.service == workspace.name)
    key = ssh_public_key(platform.prepared.secrets[f"{FOLDER}/{workspace.name}-host-key"])
    known = tmp_path / "known_hosts"
    known.write_text(f"[{stream.hostname}]:{stream.listen} {key}\n")
    options = {
        "UserKnownHostsFile": known,
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": tmp_path / "none",
        "ConnectTimeout": 10,
    }
    done = subprocess.run(
        [
            *("ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())),
            *("-p", str(stream.listen), f"analyst@{stream.hostname}", "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    # Refused after the host key was found right.
    expect(
        done.returncode == 255 and "Permission denied (publickey)" in done.stderr,
        f"SSH says to somebody without a key: {done.stderr.strip() or 'come in'}",
        f"docker compose logs {workspace.name} in {platform.directory}; make deploy",
    )
