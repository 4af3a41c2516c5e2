"""Tells whether somebody serves a TCP port of another host."""

from __future__ import annotations

import json
import socket
from typing import Any

TIMEOUT_S = 2.0
KEPT_S = 1.0


def main(arguments: dict[str, Any]) -> None:
    """Print true or false; `arguments`: address and port."""
    print(json.dumps(is_served(arguments["address"], arguments["port"])))


def is_served(address: str, port: int) -> bool:
    """Whether a connection is not only accepted but kept: a proxy accepts for who is not there."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_S) as client:
            client.settimeout(KEPT_S)
            return client.recv(1) != b""
    except TimeoutError:
        return True  # it waits for the client to speak
    except OSError:
        return False
