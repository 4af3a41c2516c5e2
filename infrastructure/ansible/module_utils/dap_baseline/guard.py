"""Takes changes back by itself unless a new connection has proved that the host can be reached."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.dap_baseline.change import Change
from ansible.module_utils.dap_baseline.state import HOME
from ansible.module_utils.dap_host import output, run, write_atomically

FOLDER = HOME / "undo"
SCRIPT = FOLDER / "undo.sh"
UNIT = "dap-baseline-undo"
SECONDS = 60


def concerns(change: Change) -> bool:
    """Tell whether a change could keep people from the host."""
    return bool(change.files or change.undo)


def arm(changes: Sequence[Change]) -> None:
    """Keep what is there before the changes and start the time after which it comes back.

    Raises CommandError if the time can't be started.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700, parents=True)
    files = dict.fromkeys(path for change in changes for path in change.files)
    lines = ["#!/bin/sh", "# Takes back what a deploy changed if no new SSH connection came to be."]
    for number, path in enumerate(files):
        if path.exists():
            kept = FOLDER / str(number)
            shutil.copy2(path, kept)
            lines.append(f"cp -p {shlex.quote(str(kept))} {shlex.quote(str(path))}")
        else:
            lines.append(f"rm -f {shlex.quote(str(path))}")
    commands = (command for change in reversed(changes) for command in change.undo)
    lines += dict.fromkeys(commands)
    lines.append(f"rm -rf {shlex.quote(str(FOLDER))}")
    write_atomically(SCRIPT, ("\n".join(lines) + "\n").encode(), 0o700)
    start()


def start() -> None:
    """Start the time, anew if it runs; raises CommandError if that fails."""
    run(["systemctl", "stop", f"{UNIT}.timer"])
    output(
        [
            *("systemd-run", "--collect", f"--unit={UNIT}", f"--on-active={SECONDS}s"),
            *("--timer-property=AccuracySec=1s", "/bin/sh", str(SCRIPT)),
        ]
    )


def disarm() -> bool:
    """Let the changes stay; False if they have been taken back already."""
    run(["systemctl", "stop", f"{UNIT}.timer"])
    there = Path(SCRIPT).exists()
    shutil.rmtree(FOLDER, ignore_errors=True)
    return there


def take_back() -> None:
    """Take the changes back now; raises CommandError if that fails."""
    run(["systemctl", "stop", f"{UNIT}.timer"])
    if SCRIPT.exists():
        output(["/bin/sh", str(SCRIPT)])
