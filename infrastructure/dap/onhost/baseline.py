"""The baseline of a host: whether it can be kept there, and what of it is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.dap_baseline.host import Host, given
from ansible.module_utils.dap_baseline.plan import refused
from ansible.module_utils.dap_baseline.state import load
from ansible.module_utils.dap_requirements import Finding, finding


def baseline(project: str, told: dict[str, Any]) -> Iterator[Finding]:
    """Judge whether a platform can keep the baseline here; `told` is as in the inventory."""
    wanted, state = given(project, told), load()
    problems = list(refused(wanted, Host(), state))
    for what, remedy in problems:
        yield finding("problem", "baseline", what, remedy)
    if not problems:
        on = [name for name, each in wanted.switches.items() if each]
        missing = [name for name in on if name not in state.on]
        what = f"{', '.join(on)} on" if on else "off"
        what += f"; a deploy makes {', '.join(missing)}" if missing else ""
        yield finding("ok", "baseline", what)
