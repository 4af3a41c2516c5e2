"""Ports: who listens where, and what is open from outside."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

LISTENS = "0A"
PROC = Path("/proc")
TIMEOUT_S = 2.0
KEPT_S = 1.0


def listening(process: int | str) -> set[int]:
    """Return the TCP ports that are listened on in the network namespace of a process."""
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / str(process) / "net" / table).read_text().splitlines()[1:]
        except OSError:  # it has ended, or there is no IPv6
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTENS:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def addresses() -> set[str]:
    """Return the IP addresses of this machine but those that hold on one link alone."""
    table = (PROC / "net" / "fib_trie").read_text()
    found = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table))
    interfaces = PROC / "net" / "if_inet6"
    for line in interfaces.read_text().splitlines() if interfaces.exists() else ():
        address = ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
        if not address.is_link_local:
            found.add(str(address))
    return found


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


def is_open(address: str, port: int) -> bool:
    """Whether something accepts a connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        return client.connect_ex((address, port)) == 0
