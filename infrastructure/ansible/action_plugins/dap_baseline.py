"""Make a host what its baseline says, and prove by a new connection that it is still reached."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# The host takes its changes back after 60 s; then there is time for it to answer again.
CONFIRM_S = 25
BACK_S = 120
INTERVAL_S = 2


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments are those of the module of the same name, without stage and guarded."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changes; with --diff a unified diff of each file."""
        super().run(tmp, task_vars)
        away = self._connection.transport != "local"
        done = self._module({"guarded": away}, task_vars)
        if done.get("failed") or not done.pop("guarded", False):
            return done
        end = time.monotonic() + CONFIRM_S
        while True:
            try:
                # What is open stays open whatever has changed: only a new connection tells.
                self._connection.reset()
                confirmed = self._module({"stage": "confirm"}, task_vars)
            except AnsibleConnectionFailure as error:
                # A server that reads its configuration does not listen for a moment.
                if time.monotonic() > end:
                    return self._taken_back(str(error))
                time.sleep(INTERVAL_S)
            else:
                return confirmed if confirmed.get("failed") else done

    def _module(self, extra: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result = dict(
            self._execute_module("dap_baseline", {**self._task.args, **extra}, task_vars=task_vars)
        )
        result.pop("invocation", None)
        return result

    def _taken_back(self, reason: str) -> dict[str, Any]:
        """Wait until the host is as it was; say what happened."""
        lines = [line for line in reason.splitlines() if line.strip()]
        said = lines[-1] if lines else reason
        result = {
            "failed": True,
            "remedy": "see what the host allows and this machine offers (ssh -v), or switch ssh, "
            "firewall or kernel off in hosts[].baseline of this host",
        }
        end = time.monotonic() + BACK_S
        while time.monotonic() < end:
            time.sleep(INTERVAL_S)
            try:
                self._connection.reset()
                if self._low_level_execute_command("true", sudoable=False)["rc"] == 0:
                    what = "a new SSH connection was not let in with the baseline, which the host"
                    return {**result, "msg": f"{what} has taken back: {said}"}
            except AnsibleConnectionFailure:
                continue
        what = "the host does not answer since its baseline was changed"
        return {**result, "msg": f"{what}: {said}"}
