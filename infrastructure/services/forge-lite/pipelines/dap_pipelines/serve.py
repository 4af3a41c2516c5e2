"""Tasks that live until they end, and Unix sockets whose connections are served by such tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Tasks:
    """Keeps tasks: the event loop itself would let the garbage collector end one that waits."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """End them all; it is done when they have been waited for."""
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait until all have ended, however they do."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Server:
    """Serves each connection to a Unix socket by a task; `most` at once, others are closed."""

    def __init__(self, serve: Serve, line_bytes: int, most: int | None = None) -> None:
        self.tasks = Tasks()
        self._serve, self._line_bytes, self._most = serve, line_bytes, most
        self._server: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, path, limit=self._line_bytes)

    def close(self) -> None:
        """Take no further connections."""
        if self._server is not None:
            self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._most is not None and len(self.tasks) >= self._most:
            writer.close()
            return
        task = self.tasks.start(self._serve(reader, writer))
        # One that is cancelled before it began closes nothing itself.
        task.add_done_callback(lambda _: writer.close())
