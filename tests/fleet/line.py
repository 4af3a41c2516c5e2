"""The line of a host to the others: slow and lossy, or cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fleet.hosts import FreshHost

DEVICE = "eth0"  # on the front network
QUEUE = 7
WIRE = Path(__file__).with_name("wire.py")
THERE = "/usr/local/sbin/wire.py"


@contextmanager
def slow(host: FreshHost, delay_ms: int, loss_percent: int) -> Iterator[str]:
    """Delay what a host sends, and lose some of it; yields by what.

    netem does it where the kernel has it, else a process of our own.
    """
    queue = ["iptables", "-t", "mangle", "-I", "POSTROUTING", "-o", DEVICE, "-j", "NFQUEUE"]
    queue += ["--queue-num", str(QUEUE), "--queue-bypass"]
    if by_netem(host, f"delay {delay_ms}ms loss {loss_percent}%"):
        try:
            yield "netem"
        finally:
            host.execute("tc", "qdisc", "del", "dev", DEVICE, "root")
        return
    host.put(THERE, WIRE.read_text(encoding="utf-8"))
    arguments = f"{QUEUE} {delay_ms} {loss_percent}"
    host.execute("systemd-run", "--collect", "--unit=wire", "python3", THERE, *arguments.split())
    host.execute(*queue)
    try:
        yield "NFQUEUE"
    finally:
        host.execute(*("-D" if word == "-I" else word for word in queue))
        host.execute("systemctl", "stop", "wire.service")


def by_netem(host: FreshHost, what: str) -> bool:
    """Ask the kernel for it; whether it can."""
    command = f"tc qdisc add dev {DEVICE} root netem {what}"
    try:
        host.execute(*command.split())
    except RuntimeError as error:
        if "kind is unknown" not in str(error):
            raise
        return False
    return True


@contextmanager
def cut(host: FreshHost, other: FreshHost, port: int) -> Iterator[None]:
    """Lose all packets of a host to a port of another one."""
    there = ["-o", DEVICE, "-d", other.front, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    rule = ["iptables", "-t", "mangle", "-I", "POSTROUTING", *there]
    host.execute(*rule)
    try:
        yield
    finally:
        host.execute(*("-D" if word == "-I" else word for word in rule))
