"""Make the content on a host; secrets that services gave it go to a file here, and nowhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments are those of the module of the same name, and `kept_file`: a file here."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module does, but for the secrets: a result is written to the log."""
        super().run(tmp, task_vars)
        file = Path(self._task.args["kept_file"])
        arguments = {key: each for key, each in self._task.args.items() if key != "kept_file"}
        result = dict(self._execute_module("dap_content", arguments, task_vars=task_vars))
        leave(file, result.pop("secrets", {}))
        return result


def leave(file: Path, secrets: dict[str, str]) -> None:
    """Write secrets, if there are any, to a file that its owner alone may read."""
    if secrets:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(secrets, stream)
