"""Finds out which TCP ports of containers can be reached on a host."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from pathlib import Path
from typing import Any

LISTENS = "0A"
PROC = Path("/proc")
TIMEOUT_S = 2.0


def main(arguments: dict[str, Any]) -> None:
    """Print what is open beside what may be, as pairs of address and port.

    `arguments`: processes (ids, one of each container), ports (that containers have on the host),
    published (by whom ever), known (pairs of address and port; an empty address: all).
    """
    ports = {port for process in arguments["processes"] for port in listening(process)}
    ports |= set(arguments["ports"])
    ports -= listening("self") - set(arguments["published"])
    known = {(address, port) for address, port in arguments["known"]}
    tried = (
        (address, port)
        for address in sorted(addresses())
        for port in sorted(ports)
        if not known & {(address, port), ("", port)}
    )
    print(json.dumps([each for each in tried if is_open(*each)]))


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


def is_open(address: str, port: int) -> bool:
    """Whether something accepts a connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        return client.connect_ex((address, port)) == 0
