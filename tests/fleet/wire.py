"""A long, lossy line, where the kernel has no netem: `python3 wire.py QUEUE DELAY_MS LOSS_PERCENT`.

Runs on a host as root with the standard library. A firewall rule sends packets to an NFQUEUE; each
is held for the delay and then let go, or dropped by chance, as netem would. Ends when it is killed;
with `--queue-bypass` in the rule packets then pass at once.

The messages are those of linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import sys
import time
from collections import deque

NETLINK_NETFILTER = 12
PACKET, VERDICT, CONFIG = (3 << 8 | kind for kind in range(3))
REQUEST = 1
CFG_CMD, CFG_PARAMS, CFG_QUEUE_MAXLEN = 1, 2, 3
BIND, COPY_META = 1, 1
PACKET_HDR, VERDICT_HDR = 1, 2
DROP, ACCEPT = 0, 1
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
QUEUED = 20000  # packets that may be on the line


def attribute(kind: int, data: bytes) -> bytes:
    """A netlink attribute, padded."""
    length = ATTRIBUTE.size + len(data)
    return ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)


def message(kind: int, queue: int, *attributes: bytes) -> bytes:
    """A netlink message about a queue."""
    body = struct.pack(">BBH", socket.AF_UNSPEC, 0, queue) + b"".join(attributes)
    return HEADER.pack(HEADER.size + len(body), kind, REQUEST, 0, 0) + body


def packets(data: bytes) -> list[bytes]:
    """Ids of the packets that some messages tell of, as they are sent back."""
    found = []
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        rest = data[HEADER.size + 4 : length]
        while kind == PACKET and len(rest) >= ATTRIBUTE.size:
            size, which = ATTRIBUTE.unpack_from(rest)
            if which == PACKET_HDR:
                found.append(rest[4:8])
            rest = rest[size + -size % 4 :]
        data = data[length + -length % 4 :]
    return found


def carry(queue: int, delay_s: float, loss: float) -> None:
    """Hold, drop and let go packets until the end of the process."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**23)
    line.bind((0, 0))
    line.send(message(CONFIG, queue, attribute(CFG_CMD, struct.pack(">BBH", BIND, 0, 0))))
    line.send(message(CONFIG, queue, attribute(CFG_PARAMS, struct.pack(">IB", 0, COPY_META))))
    line.send(message(CONFIG, queue, attribute(CFG_QUEUE_MAXLEN, struct.pack(">I", QUEUED))))
    held: deque[tuple[float, bytes]] = deque()

    def decide(packet: bytes, verdict: int) -> None:
        answer = attribute(VERDICT_HDR, struct.pack(">I", verdict) + packet)
        line.send(message(VERDICT, queue, answer))

    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        if select.select([line], [], [], wait)[0]:
            for packet in packets(line.recv(2**16)):
                if random.random() < loss:
                    decide(packet, DROP)
                else:
                    held.append((time.monotonic() + delay_s, packet))
        while held and held[0][0] <= time.monotonic():
            decide(held.popleft()[1], ACCEPT)


if __name__ == "__main__":
    carry(int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) / 100)
