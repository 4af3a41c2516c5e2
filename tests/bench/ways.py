"""Two ways to one service: through the proxy, and straight to its container."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.running import Running, resolving


@dataclass(frozen=True)
class Ways:
    """Addresses of a service.

    Attributes:
        proxy: through the proxy, over TLS.
        direct: of the service itself, without TLS.
    """

    proxy: str
    direct: str


@contextlib.contextmanager
def ways(platform: Running, route: str) -> Iterator[Ways]:
    """Addresses of a route's service, both good in this process only.

    Either name leads to the container's own address, as in jobs and workspaces: between them and
    the proxy there is no port published on loopback, which Docker serves by a program of its own.
    """
    [found] = [entry for entry in platform.plan["routes"] if entry["name"] == route]
    service, hostname = found["service"], found["hostname"]
    names = {
        hostname: platform.address(platform.entry, "edge"),
        service: platform.address(service, "internal"),
    }
    with resolving(names):
        yield Ways(found["url"], f"http://{service}:{found['port']}")
