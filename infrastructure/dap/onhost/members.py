"""Which hosts the platform has, as the service host keeps it beside the tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import write_atomically

FILE = "hosts.json"


def main(arguments: dict[str, Any]) -> None:
    """Forget all hosts of earlier deploys but those that are named.

    `directory`: the tree; `gone`: what to keep of hosts that are in no settings; `settings`' own
    hosts are written by the deploy.
    """
    file = Path(arguments["directory"]) / FILE
    known = json.loads(file.read_text(encoding="utf-8"))
    plan = json.loads((file.parent / "plan.json").read_text(encoding="utf-8"))
    places = [(each["name"], each["address"]) for each in plan["settings"]["hosts"]]
    kept = [
        each
        for each in known
        if (each["name"], each["address"]) in places or each in arguments["gone"]
    ]
    write_atomically(file, json.dumps(kept, indent=2).encode(), 0o600)
    print(json.dumps({"hosts": [each["name"] for each in kept]}))
