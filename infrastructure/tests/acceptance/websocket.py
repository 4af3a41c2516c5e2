"""A websocket client of a few lines: enough to open one, and to read what comes."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

# RFC 6455, section 1.3.
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
TIMEOUT_S = 20


class RefusedError(Exception):
    """The server did not switch to websocket; the message is its status line."""


class WebSocket:
    """A connection to `url` (https://…), as RFC 6455 has it; `authority` is a file of CAs."""

    def __init__(self, url: str, authority: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=authority)
        host = parts.hostname or ""
        plain = socket.create_connection((host, parts.port or 443), timeout=TIMEOUT_S)
        self._socket = context.wrap_socket(plain, server_hostname=host)
        self._file = self._socket.makefile("rb")
        try:
            self._open(parts.netloc, parts.path, headers)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Masked with zeros, which the standard allows: 1000 is the end as planned.
        self._socket.sendall(bytes([0x80 | CLOSE, 0x80 | 2]) + bytes(4) + struct.pack(">H", 1000))
        self._file.close()
        self._socket.close()

    def _open(self, host: str, path: str, headers: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            "Origin": f"https://{host}",
            **headers,
        }
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        status = self._file.readline().decode().strip()
        answer = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            answer[name.lower()] = value.strip()
        wanted = base64.b64encode(hashlib.sha1(f"{key}{GUID}".encode()).digest()).decode()
        if " 101 " not in f"{status} " or answer.get("sec-websocket-accept") != wanted:
            raise RefusedError(status)

    def send(self, text: str) -> None:
        """Send a text message of less than 64 KiB."""
        content = text.encode()
        head = bytes([0x80 | TEXT, 0x80 | 126]) + struct.pack(">H", len(content))
        self._socket.sendall(head + bytes(4) + content)

    def receive(self) -> str:
        """Return the next text message; waits for TIMEOUT_S at most.

        Raises:
            OSError: none came.
        """
        while True:
            head, length = self._file.read(2)
            length &= 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._file.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._file.read(8))
            content = self._file.read(length)
            if head & 0xF == TEXT:
                return content.decode()
            if head & 0xF == CLOSE:
                raise ConnectionError("closed by the server")
