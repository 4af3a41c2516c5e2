"""What the hook and the `pipeline` command share: requests to the worker, and its answers.

Requests are files in the spool volume; the worker answers in the directory of the pipeline.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPOOL = Path(os.environ.get("FORGE_SPOOL", "/spool"))
STATE = Path(os.environ.get("FORGE_STATE", "/var/lib/pipelines"))
CONFIG = Path(os.environ.get("FORGE_CONFIG", "/etc/forge/pipelines.json"))
FINAL = {"success", "failed", "canceled", "crashed"}
LOOK_SECONDS = 0.1


def config() -> dict[str, Any]:
    """Return the values that the platform rendered."""
    return dict(json.loads(CONFIG.read_text()))


def pipeline_url(project: str, number: int) -> str:
    """Return the address of a pipeline's page."""
    return f"{config()['url']}/-/pipelines/{project}/{number}"


def next_number() -> int:
    """Return a number that no pipeline of the platform has had."""
    with (SPOOL / "counter").open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        text = counter.read().strip()
        last = int(text) if text else max((number for _, number in numbers()), default=0)
        counter.truncate(0)
        counter.write(str(last + 1))
        counter.flush()
        os.fsync(counter.fileno())
    return last + 1


def numbers() -> Iterator[tuple[str, int]]:
    """Yield project and number of every pipeline that is kept."""
    for path in STATE.glob("*/*/pipeline.json"):
        yield path.parent.parent.name, int(path.parent.name)


def leave(name: str, request: dict[str, Any]) -> None:
    """Put a request into the spool, whole or not at all."""
    draft = SPOOL / f".{name}.{os.getpid()}"
    with draft.open("w") as file:
        json.dump(request, file)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(0o640)
    draft.rename(SPOOL / name)


def ask(request: dict[str, Any]) -> int:
    """Ask for a pipeline; return its number."""
    number = next_number()
    leave(f"{number}.run", {**request, "id": number, "created": time.time()})
    return number


def cancel(number: int, user: str) -> None:
    """Ask the worker to stop a pipeline."""
    leave(f"{number}.cancel", {"id": number, "user": user})


def find(number: int) -> dict[str, Any] | None:
    """Return the state of a pipeline, or None if there is none of this number."""
    for path in STATE.glob(f"*/{number}/pipeline.json"):
        return dict(json.loads(path.read_text()))
    return None


def queue() -> dict[str, Any]:
    """Return hosts with what runs there, and what waits, as the worker told last."""
    try:
        return dict(json.loads((STATE / "queue.json").read_text()))
    except FileNotFoundError:
        return {"hosts": [], "waiting": [], "pipelines": {"waiting": []}}


def follow(project: str, number: int, seconds: float | None = None) -> None:
    """Print the progress of a pipeline until it ends, or for so long."""
    until = time.monotonic() + (config()["follow_seconds"] if seconds is None else seconds)
    directory = STATE / project / str(number)
    shown = 0
    while True:
        state = find(number)
        lines = _lines(directory / "progress.log")
        for line in lines[shown:]:
            print(f"  {line}", flush=True)
        shown = len(lines)
        if state is not None and state["status"] in FINAL:
            return
        if time.monotonic() > until:
            print("  it goes on; the page above shows how", flush=True)
            return
        if not shown and state is None and time.monotonic() > until - 1:
            print("  waiting for the worker", flush=True)
            return
        time.sleep(LOOK_SECONDS)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()


def plain(text: str) -> str:
    """Return text without control characters, for a terminal."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def complain(message: str) -> None:
    """Print an error for a person and end with status 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)
