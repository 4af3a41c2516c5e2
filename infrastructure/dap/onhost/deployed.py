"""Tells whether a platform is deployed on this host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def main(arguments: dict[str, Any]) -> None:
    """Print true or false; `arguments`: directory of its tree."""
    print(json.dumps(Path(arguments["directory"], "plan.json").is_file()))
