"""The baseline of a host: whether it can be kept there, and what differs from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.dap_baseline.host import Host, given
from ansible.module_utils.dap_baseline.plan import changes, refused
from ansible.module_utils.dap_baseline.state import load
from ansible.module_utils.dap_requirements import Finding, finding


def main(arguments: dict[str, Any]) -> None:
    """Print the findings; `arguments`: project, and baseline as the inventory has it."""
    print(json.dumps(list(baseline(arguments["project"], arguments["baseline"]))))


def baseline(project: str, told: dict[str, Any]) -> Iterator[Finding]:
    """Judge whether a platform can keep the baseline here, and whether the host is so."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    wanted, host, state = given(project, told), Host(), load()
    problems = list(refused(wanted, host, state))
    for what, remedy in problems:
        yield finding("problem", "baseline", what, remedy)
    if problems:
        return
    differs = [change.what for _, change in changes(wanted, host, state)]
    if differs:
        what = f"a deploy would: {'; '.join(differs)}"
        yield finding("warning", "baseline", what, "make deploy")
    else:
        on = [name for name, each in wanted.switches.items() if each]
        yield finding("ok", "baseline", f"{', '.join(on) or 'nothing'} on, and as it should be")
