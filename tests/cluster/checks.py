"""What `dap verify` finds of a platform on the tests' cluster."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.platform import ClusterPlatform

INSIDE = "--in-cluster"


def verify(platform: ClusterPlatform, only: str, *options: str) -> dict[str, Any]:
    """What `dap verify` finds."""
    done = platform.dap("verify", "--json", "--only", only, *options)
    assert done.returncode in (0, 1), f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return found


def failed(platform: ClusterPlatform, only: str, *options: str) -> dict[str, str]:
    """The checks that fail, with what each says."""
    found = verify(platform, only, *options)["tests"]
    return {
        f"{each['check']} ({each['subject']})" if each["subject"] else each["check"]: each["reason"]
        for each in found
        if each["outcome"] == "failed"
    }
