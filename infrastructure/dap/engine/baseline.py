"""What a host is told of its baseline: switches, and the ports and addresses of its firewall."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dap.plan import HostPlan, Plan
from dap.settings import jump_parts


def baseline(plan: Plan, host: HostPlan, published: Iterable[int]) -> dict[str, Any]:
    """Return what the module dap_baseline is told.

    Args:
        plan: what runs where.
        host: the host that it is for.
        published: TCP ports that the platform's containers publish there.
    """
    settings = plan.settings
    said = next(each for each in settings.hosts if each.name == host.host.name)
    service = plan.service_host.host
    ports = sorted(set(published))
    # All that a runner host publishes is there for the service host alone.
    everyone, guarded = (ports, []) if host.host.service else ([], ports)
    return {
        "switches": said.baseline.switches(said.address),
        "everyone": everyone,
        "service": guarded,
        "service_address": service.listen if guarded else "",
        "open": [str(port) for port in said.baseline.open],
        "forwarding": any(leads_through(each.jump, host) for each in settings.hosts),
    }


def leads_through(jump: str | None, host: HostPlan) -> bool:
    """Tell whether the way to another host, [account@]host[:port], leads through this one."""
    _, name, _ = jump_parts(jump or "")
    return name in (host.host.name, host.host.address, host.host.listen)
