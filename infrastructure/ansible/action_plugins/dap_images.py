"""Have all images of a tree on a host, showing the progress of the build."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Of BuildKit's plain output: the beginning of each step of a Dockerfile.
STEP = re.compile(r"#\d+ \[(?P<step>\S+ (?:\S+ )?\d+/\d+\] .+)")
# The build that is found at work may be an earlier deploy's, of another tree; then comes ours.
ROUNDS = 2
PARTS = ("changed", "changes", "unpublished", "digests")
INTERVAL_S = 0.2
KEPT = 25  # lines of the log that a failure shows


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments are those of the module of the same name, without stage and offset.

    `told` is the file here in which the service host's run tells the digests of what it shipped.
    """

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changes: the images pulled and built."""
        super().run(tmp, task_vars)
        self._host = (task_vars or {}).get("inventory_hostname", "")
        self._shown: set[str] = set()
        told = Path(self._task.args.pop("told"))
        found = self._module({"stage": "inspect"}, task_vars)
        if not found["changed"] or self._task.check_mode:
            return {part: found[part] for part in PARTS}
        if found["awaited"]:
            self._show("==> waiting for images of the service host")
            digests = await_digests(told)
            locked = {each: digests[each] for each in found["awaited"] if each in digests}
            self._task.args["locked"] = {**self._task.args["locked"], **locked}
            found = self._module({"stage": "inspect"}, task_vars)
        changes = found["changes"]
        for _ in range(ROUNDS):
            self._module({"stage": "start"}, task_vars)
            error, log = self._follow(task_vars)
            if error:
                return {
                    "failed": True,
                    "msg": error,
                    "details": "\n".join(reason(log)),
                    "remedy": "mend what the lines above say; deploy again: what is built is kept",
                }
            found = self._module({"stage": "inspect"}, task_vars)
            if not found["changed"]:
                break
        return {**{part: found[part] for part in PARTS}, "changed": True, "changes": changes}

    def _follow(self, task_vars: dict[str, Any] | None) -> tuple[str, list[str]]:
        """Show the progress of the build until its end; return its error, if any, and its log."""
        state: dict[str, Any] = {"offset": 0, "done": False}
        log: list[str] = []
        while not state["done"]:
            state = self._module({"stage": "follow", "offset": state["offset"]}, task_vars)
            lines = state["text"].splitlines()
            log = (log + lines)[-400:]
            for line in lines:
                self._show(line)
        return state.get("error", ""), log

    def _module(self, extra: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result = self._execute_module(
            "dap_images", {**self._task.args, **extra}, task_vars=task_vars
        )
        if result.get("failed"):
            raise AnsibleActionFail(
                str(result.get("msg") or result.get("exception", "")), result=result
            )
        return dict(result)

    def _show(self, line: str) -> None:
        """Send a line of progress to the main process, which prints it as an event."""
        step = STEP.match(line)
        text = line[4:] if line.startswith("==> ") else step["step"] if step else ""
        if text and text not in self._shown:  # BuildKit repeats a step when it goes on with it
            self._shown.add(text)
            event = {"event": "progress", "host": self._host, "text": text}
            Display().display(json.dumps(event), newline=True)


def await_digests(told: Path) -> dict[str, str]:
    """Wait for what the service host's run tells: local reference → digest in the registry."""
    while not told.exists():
        time.sleep(INTERVAL_S)
    news = json.loads(told.read_text(encoding="utf-8"))
    if "error" in news:
        raise AnsibleActionFail(
            news["error"], result={"remedy": "mend what is wrong there; deploy again"}
        )
    return dict(news["digests"])


def reason(log: list[str]) -> list[str]:
    """Return the lines of a build log that tell why it failed."""
    marks = [number for number, line in enumerate(log) if line.startswith("------")]
    return log[marks[0] :][:KEPT] if marks else log[-KEPT:]
