"""A shell that stays open, so that one block of a page goes on where the last one ended."""

import base64
import os
import secrets
import selectors
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

BLOCK_LIMIT_S = 300.0
ENDS_IN_S = 10.0


class BlockError(AssertionError):
    """A block failed or did not end in time; the message holds what it printed."""


class Session:
    """A bash in some place.

    Args:
        command: what starts it; it reads commands from standard input.
        directory: where it starts.
        environment: its environment; of this process if not given.
    """

    def __init__(
        self, command: list[str], directory: Path, environment: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Docker passes the two outputs of a container on apart: the mark would overtake the other.
        self._send("exec 2>&1; set -eo pipefail")

    def run(self, text: str, limit_s: float = BLOCK_LIMIT_S) -> str:
        """Run a block; what it printed, on both outputs.

        Raises:
            BlockError: a command of it failed, or it took longer than `limit_s` seconds.
        """
        mark = secrets.token_hex(16)
        encoded = base64.b64encode(text.encode()).decode()
        # Commands of the block must not read what comes after it.
        self._send(f'eval "$(echo {encoded} | base64 -d)" </dev/null')
        self._send(f"echo {mark}")
        return self._read(mark, time.monotonic() + limit_s)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended; reading tells why

    def _read(self, mark: str, end: float) -> str:
        assert self._process.stdout is not None
        found = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not found.endswith(f"{mark}\n".encode()):
                if not selector.select(max(0.0, end - time.monotonic())):
                    self._kill()
                    raise BlockError(f"not done in time; it printed:\n{found.decode()}")
                part = os.read(self._process.stdout.fileno(), 65536)
                if not part:
                    status = self._process.wait(ENDS_IN_S)
                    raise BlockError(f"exit status {status}; it printed:\n{found.decode()}")
                found += part
        return found.decode().removesuffix(f"{mark}\n")

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(ENDS_IN_S)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and what it left running."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._kill()
        self._process.stdin.close()
        self._process.stdout.close()
