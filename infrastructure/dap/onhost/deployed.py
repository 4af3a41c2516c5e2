"""Tells whether a platform is deployed on this machine, and as which host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def main(arguments: dict[str, Any]) -> None:
    """Print name and address of the host that it was deployed as last, or null.

    `arguments`: directory of its tree. Of a plan that cannot be read they are empty.
    """
    path = Path(arguments["directory"], "plan.json")
    print(json.dumps(host(path.read_text(encoding="utf-8")) if path.is_file() else None))


def host(text: str) -> dict[str, str]:
    """Return name and address of the host that the text of a plan is for."""
    try:
        plan = json.loads(text)
    except ValueError:
        # Somebody wrote into it: `make verify` says so, and the next deploy puts it back.
        return {"name": "", "address": ""}
    (address,) = (
        each["address"] for each in plan["settings"]["hosts"] if each["name"] == plan["host"]
    )
    return {"name": plan["host"], "address": address}
