#!/usr/bin/python
"""Push images to the platform's registry that it does not have yet."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, output
from ansible.module_utils.dap_registry import AwayError, has, logged_in, published_digests

DOCUMENTATION = """
module: dap_publish
short_description: Push images to the platform's registry that it does not have yet
options:
  registry: {description: "host[:port]", type: str, required: true}
  username: {description: account that may push, type: str, required: true}
  password: {description: its password, type: str, required: true}
  certificate: {description: file of the registry's CA, type: str, required: true}
  images: {description: "local reference → reference in the registry", type: dict, required: true}
"""

# For a registry whose container, or its proxy's, was just made.
PATIENCE_S, INTERVAL_S = 120, 0.5


def missing_images(given: dict[str, Any], patience_s: float) -> dict[str, str]:
    """Return those images that the registry lacks; waits for it up to `patience_s` seconds.

    Raises CommandError when it refuses and AwayError when it does not answer in time.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            return {local: ref for local, ref in given["images"].items() if not has(given, ref)}
        except AwayError:
            if time.monotonic() > end:
                raise
            time.sleep(INTERVAL_S)


def push(given: dict[str, Any], missing: dict[str, str]) -> None:
    """Push images with a login that leaves no trace. Raises CommandError."""
    with logged_in(given) as env:
        for local, remote in missing.items():
            output(["docker", "tag", local, remote])
            output(["docker", "push", "--quiet", remote], env=env, timeout_s=1800)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "registry": {"type": "str", "required": True},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "certificate": {"type": "str", "required": True},
            "images": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        missing = missing_images(given, 0 if module.check_mode else PATIENCE_S)
        if missing and not module.check_mode:
            push(given, missing)
    except (AwayError, CommandError) as error:
        if module.check_mode:  # a registry that is not there yet has nothing
            missing = dict(given["images"])
        else:
            module.fail_json(msg=str(error), remedy="see the registry's log; deploy again")
    changes = [f"push {remote}" for remote in missing.values()]
    digests = published_digests(given["images"])
    module.exit_json(changed=bool(changes), changes=changes, digests=digests)


if __name__ == "__main__":
    main()
