#!/usr/bin/python
"""Leave a line on the host about who did what; it is no change of the platform."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: dap_audit
short_description: Leave a line on the host about who did what
options:
  directory: {description: the tree on the host, type: str, required: true}
  entry: {description: what the line says beside the time, type: dict, required: true}
"""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "str", "required": True},
            "entry": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    if not module.check_mode:
        path = Path(module.params["directory"], "audit.log")
        path.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = json.dumps({"time": now, **module.params["entry"]})
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(line + "\n")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
