"""Tell the runs on other hosts the digests of the images that the service host shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """`told` is the file here that they wait for; `digests` maps local references to digests."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the file at once and whole."""
        super().run(tmp, task_vars)
        told = Path(self._task.args["told"])
        new = told.with_suffix(".new")
        new.write_text(json.dumps({"digests": self._task.args["digests"]}), encoding="utf-8")
        new.replace(told)
        return {"changed": False}
