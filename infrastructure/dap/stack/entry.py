"""Where a cluster's entry is met from outside."""

from __future__ import annotations

from ipaddress import ip_address

from kubernetes.dynamic.exceptions import NotFoundError

from dap.cluster.source import SERVICE_LABEL
from dap.plan import Plan
from dap.settings import EVERYWHERE, Settings
from dap.stack.live import Live


def name(plan: Plan) -> str:
    """Return the name of the service that receives all routes."""
    return next(
        service.name
        for folder in plan.service_host.folders
        for service in folder.services
        if service.options.entry
    )


def outside(settings: Settings, live: Live, entry: str) -> str:
    """Return the entry's address or name: what the settings say, or its Service or node has.

    An empty text where it has none yet.
    """
    given = settings.address
    if given not in EVERYWHERE and not ip_address(given).is_loopback:
        return given
    try:
        balancer = live.get("v1", "Service", entry).get("status", {})
    except NotFoundError:
        return ""
    for each in balancer.get("loadBalancer", {}).get("ingress") or ():
        return str(each.get("ip") or each["hostname"])
    for pod in live.all("v1", "Pod", f"{SERVICE_LABEL}={entry}"):
        if found := pod["status"].get("hostIP"):
            return str(found)
    return ""
