"""Print what happens as JSON, one event a line: what `dap` reads and the log keeps."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: dap_events
type: stdout
short_description: print events as JSON lines
description: One object a line, `event` says which kind.
"""

# Parts of a result that a person or `dap` reads; all else is the machinery's.
PARTS = ("msg", "remedy", "details", "changes", "diffs", "kept", "gone", "problems", "refused")


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Events: task, ok, failed, unreachable, stats. The action plugins add progress."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "dap_events"

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[tuple[str, str], float] = {}

    def _print(self, event: str, **parts: Any) -> None:
        self._display.display(json.dumps({"event": event, **parts}, default=str))

    def _result(self, event: str, result: Any) -> None:
        # Ansible has taken out already what a task with no_log must not tell.
        key = (result._host.get_name(), result._task._uuid)
        content = {part: result._result[part] for part in PARTS if part in result._result}
        self._print(
            event,
            host=result._host.get_name(),
            task=result._task.get_name(),
            changed=bool(result._result.get("changed")),
            seconds=round(time.monotonic() - self._started.get(key, time.monotonic()), 2),
            **content,
        )

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        """A task begins on all hosts, or with the strategy free on one."""
        self._print("task", task=task.get_name())

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task begins on a host."""
        self._started[(host.get_name(), task._uuid)] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task is done on a host."""
        self._result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        """A task failed on a host."""
        self._result("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host can't be reached."""
        self._result("unreachable", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The play is over."""
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._print("stats", hosts=hosts)
