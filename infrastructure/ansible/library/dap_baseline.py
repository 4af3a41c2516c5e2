#!/usr/bin/python
"""Make a host what its baseline says, part by part; what is switched off is taken away."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_baseline import guard
from ansible.module_utils.dap_baseline.host import Given, Host, given
from ansible.module_utils.dap_baseline.plan import changes, finished, off
from ansible.module_utils.dap_baseline.state import load
from ansible.module_utils.dap_host import CommandError

DOCUMENTATION = """
module: dap_baseline
short_description: Make a host what its baseline says
options:
  project: {description: name of the platform, type: str, required: true}
  baseline:
    description: switches, ports and so on as the inventory has them; left out, all is off
    type: dict
  stage:
    description:
      - apply makes the changes. With guarded, those that could keep people from the host are taken
        back after a while, unless confirm came before, over a new connection.
    type: str
    choices: [apply, confirm]
    default: apply
  guarded: {description: whether a confirm follows, type: bool, default: false}
"""


def apply(module: AnsibleModule, wanted: Given) -> dict[str, Any]:
    """Make the changes, and return them; raises CommandError or OSError with what is in the way."""
    state = load()
    found = changes(wanted, Host(), state)
    told = [change.what for _, change in found]
    diffs: dict[str, str] = {}
    for _, change in found:
        diffs.update(change.diffs)
    result = {"changed": bool(found), "changes": told, "guarded": False}
    if module._diff:
        result["diffs"] = diffs
    if module.check_mode or not found:
        return result
    state.platform = wanted.platform
    state.pending = list(dict.fromkeys([*state.pending, *(name for name, _ in found)]))
    state.save()
    only = [change for _, change in found]
    guarded = [change for change in only if module.params["guarded"] and guard.concerns(change)]
    armed = False
    try:
        for change in only:
            # Not sooner: packages that are installed before may take minutes.
            if change in guarded and not armed:
                guard.arm(guarded)
                armed = True
            change.do()
            state.save()
        if armed:
            guard.start()
    except (CommandError, OSError):
        if armed:
            guard.take_back()
        raise
    if not armed:
        finished(wanted, state).save()
    return {**result, "guarded": armed}


def confirm(wanted: Given) -> dict[str, Any]:
    """Let the changes stay; raises CommandError if they were taken back."""
    if not guard.disarm():
        raise CommandError("the host has taken the changes of SSH, firewall and kernel back")
    finished(wanted, load()).save()
    return {"changed": False, "changes": []}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "baseline": {"type": "dict"},
            "stage": {"type": "str", "choices": ["apply", "confirm"], "default": "apply"},
            "guarded": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    project, told = module.params["project"], module.params["baseline"]
    wanted = given(project, told) if told else off(project)
    try:
        done = confirm(wanted) if module.params["stage"] == "confirm" else apply(module, wanted)
    except (CommandError, OSError) as error:
        module.fail_json(
            msg=str(error),
            remedy="mend it and deploy again, or switch that part off: hosts[].baseline",
        )
    module.exit_json(**done)


if __name__ == "__main__":
    main()
