"""Leave a line on the host about who did what; it is no change of the platform."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """`entry` is what the line in `directory`/audit.log says beside the time; no secrets."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Append the line."""
        super().run(tmp, task_vars)
        if self._task.check_mode:
            return {"changed": False}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"time": now, **self._task.args["entry"]})
        folder = shlex.quote(self._task.args["directory"])
        # A shell alone: a module would take longer than all it does here.
        done = self._low_level_execute_command(
            f"umask 027 && mkdir -p {folder} && cat >> {folder}/audit.log",
            in_data=f"{line}\n".encode(),
        )
        if done["rc"]:
            return {"failed": True, "msg": f"audit.log: {done['stderr'].strip()}"}
        return {"changed": False}
