"""`python -m tests.pulumi.checkpoints [COUNT …]`: what the engine's checkpoints cost.

For each number of ConfigMaps and each way: seconds of the first `up`, of one without a change, of
one that changes all; bytes of state, history and backups after them.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pulumi.child import program
from tests.pulumi.engine import Engine, up
from tests.pulumi.standin.serve import served
from tests.pulumi.standin.store import Memory

WAYS = {
    "each step": {},
    "each step, no backups": {"PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true"},
    "at the end": {"PULUMI_SKIP_CHECKPOINTS": "true"},
}


def timed(what: Callable[[], Any]) -> float:
    """Seconds that something takes."""
    begun = time.monotonic()
    what()
    return round(time.monotonic() - begun, 1)


def measured(count: int, way: str) -> dict[str, Any]:
    """Figures of one way for one number of objects."""
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder, served(lambda _: memory) as environment:
        engine = Engine(Path(folder), environment | WAYS[way])
        first = engine.stack(lambda: program(count, "1"))
        figures: dict[str, Any] = {"objects": count, "checkpoints": way}
        figures["first_s"] = timed(lambda: up(first))
        figures["same_s"] = timed(lambda: up(first))
        figures["refreshed_s"] = timed(lambda: up(first, refresh=True))
        files = [path for path in engine.state.rglob("*") if path.is_file()]
        figures["bytes"] = sum(path.stat().st_size for path in files)
    return figures


if __name__ == "__main__":
    for number in [int(given) for given in sys.argv[1:]] or [100, 500, 1000]:
        for each in WAYS:
            print(json.dumps(measured(number, each)), flush=True)
