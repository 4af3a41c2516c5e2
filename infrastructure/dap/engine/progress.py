"""Shows a person what a run is doing, a line for each thing worth one."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape

from dap.engine.playbook import Event, Failure

_SHOWN = 8  # changes of a task that are listed


class Progress:
    """Prints events of a run to `console`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event["event"]:
            case "progress":
                self._line(event["host"], f"[dim]{escape(event['text'])}[/dim]")
            case "ok":
                changes = event.get("changes") or []
                for change in changes[:_SHOWN]:
                    self._line(event["host"], f"[yellow]{escape(change)}[/yellow]")
                if len(changes) > _SHOWN:
                    self._line(event["host"], f"[yellow]and {len(changes) - _SHOWN} more[/yellow]")

    def say(self, text: str) -> None:
        """Show a line that is about no host."""
        self._console.print(f"[dim]{self._seconds()}[/dim] {escape(text)}", highlight=False)

    def failure(self, failure: Failure) -> None:
        """Show why something failed and what to do."""
        self._console.print(
            f"[red]{escape(failure.host)}: {escape(failure.task)}: {escape(failure.reason)}[/red]",
            highlight=False,
            soft_wrap=True,
        )
        if failure.details:
            self._console.print(escape(failure.details), highlight=False, soft_wrap=True)
        self._console.print(f"  → {escape(failure.remedy)}", highlight=False, soft_wrap=True)

    def _line(self, host: str, markup: str) -> None:
        # A line that is seen for a moment is cut; one that goes to a file is kept whole.
        seen = self._console.is_terminal
        self._console.print(
            f"[dim]{self._seconds()} {escape(host)}[/dim] {markup}",
            highlight=False,
            no_wrap=seen or None,
            overflow="ellipsis" if seen else None,
            soft_wrap=not seen,
        )

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._start:5.1f} s"
