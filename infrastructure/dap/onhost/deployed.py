"""Tells whether a platform is deployed on this machine, and as which host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def main(arguments: dict[str, Any]) -> None:
    """Print name and address of the host that it was deployed as last, or null.

    `arguments`: directory of its tree.
    """
    path = Path(arguments["directory"], "plan.json")
    there = path.is_file()
    print(json.dumps(host(json.loads(path.read_text(encoding="utf-8"))) if there else None))


def host(plan: dict[str, Any]) -> dict[str, str]:
    """Return name and address of the host that a plan is for."""
    (address,) = (
        each["address"] for each in plan["settings"]["hosts"] if each["name"] == plan["host"]
    )
    return {"name": plan["host"], "address": address}
