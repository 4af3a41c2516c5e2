"""The platform's names on this machine: where it does not know them, its settings do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from typing import Any

from dap.plan import Plan
from dap.settings import EVERYWHERE


def address(plan: Plan) -> str:
    """Return at which IP address or name this machine reaches the platform's proxy."""
    bound, host = plan.settings.address, plan.service_host.host
    if bound not in EVERYWHERE:
        return bound
    return EVERYWHERE[bound] if host.address == "localhost" else host.listen


@contextmanager
def known(plan: Plan, there: str = "") -> Iterator[None]:
    """Let this process find the platform's names, where its service host is another machine.

    Who does not know a name gets the platform's address. So does who takes it for this machine, as
    all do with names below localhost.

    Args:
        plan: has the names.
        there: the platform's address; by default what the plan says.
    """
    if plan.service_host.host.address == "localhost":
        yield
        return
    names = {name for host in plan.hosts for name in plan.names(host)}
    ask = socket.getaddrinfo

    @cache
    def elsewhere(name: str) -> bool:
        try:
            found = {str(each[4][0]) for each in ask(name, None)}
        except OSError:
            return False
        return not any(ip_address(each.partition("%")[0]).is_loopback for each in found)

    def lead(host: Any, *arguments: Any, **options: Any) -> Any:
        away = host not in names or elsewhere(host)
        return ask(host if away else there or address(plan), *arguments, **options)

    socket.getaddrinfo = lead
    try:
        yield
    finally:
        socket.getaddrinfo = ask
