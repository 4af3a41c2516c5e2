"""Who reaches whom, and by which name: Services, network policies, and where pods ask for names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from dap.cluster import entry
from dap.cluster.model import Labels, Manifest
from dap.cluster.source import Part, Source

NETWORK = "dap.network"
"""What stands before the name of a network in the labels of its pods."""
_PORT = "dap.port"
_ANY = "any"
_API = "dap.api"
# Of the API's Service, and of its servers behind it, which policies are held against.
_API_PORTS = (443, 6443)
# The label that each namespace has by itself (Kubernetes documentation, Well-Known Labels).
_NAMESPACE = "kubernetes.io/metadata.name"
_NAMES_PORT = 53
# The address that a node's own cache of names has (Kubernetes documentation, NodeLocal DNSCache).
_NODE_NAMES = "169.254.20.10/32"
# Addresses of this range are the node's own, as its cloud's metadata with credentials.
_OF_NODE = "169.254.0.0/16"


def service(source: Source, part: Part) -> Manifest | None:
    """Return the Service by which others find a part; none for what nobody may reach.

    The entry's publishes its ports as the settings say. A part of which no port is known has a
    headless one: its name leads to the pod itself.
    """
    published = entry.published(part)
    if published:
        return _published(source, part, published)
    if part.options.task or not part.networks:
        return None
    spec: dict[str, Any] = {"selector": source.selector(part)}
    if part.ports:
        spec |= {"type": "ClusterIP", "ports": [_port(*each) for each in part.ports]}
    else:
        spec["clusterIP"] = "None"
    return source.manifest("Service", part.name, part, spec=spec)


def _published(source: Source, part: Part, ports: Iterable[int]) -> Manifest:
    kind = entry.service_type(source)
    listed = [_port(port, "TCP") for port in ports]
    if kind == "NodePort":
        for each in listed:
            each["nodePort"] = each["port"]
    spec: dict[str, Any] = {"type": kind, "selector": source.selector(part), "ports": listed}
    address = source.settings.address
    if kind == "LoadBalancer" and not ipaddress.ip_address(address).is_loopback:
        spec["loadBalancerIP"] = address
    return source.manifest("Service", part.name, part, spec=spec)


def _port(port: int, protocol: str) -> dict[str, Any]:
    return {
        "name": f"{protocol.lower()}-{port}",
        "port": port,
        "targetPort": port,
        "protocol": protocol,
    }


def pod_labels(part: Part) -> Labels:
    """Return the labels by which network policies select a part's pods."""
    found = {f"{NETWORK}/{name}": "true" for name in part.networks}
    if not part.options.task and part.networks:
        found |= {f"{_PORT}/{name}": "true" for name in _ports(part)}
    if part.options.kubernetes.rules:
        found[_API] = "true"
    return found


def policies(source: Source) -> list[Manifest]:
    """Return the network policies: nothing passes but what the Compose networks let pass.

    Pods on a network reach the others on it at the ports that these say they have, and on `edge`
    whatever lies beyond. One policy serves all pods that have a port, however many these are.
    """
    return [
        _nothing(source),
        _policy(source, "names", {}, egress=[_to_names()]),
        *_of_networks(source),
        *_of_entry(source),
        *_of_api(source),
        *_of_own_jobs(source),
    ]


def _nothing(source: Source) -> Manifest:
    """Return the policy that lets nothing pass; where jobs run, for pods of any label."""
    made = _policy(source, "all", {}, ingress=[], egress=[])
    if source.apart:
        made["spec"] = {**made["spec"], "podSelector": {}}
    return made


def _of_networks(source: Source) -> Iterable[Manifest]:
    for name in source.compose.get("networks", {}):
        here = {f"{NETWORK}/{name}": "true"}
        peers = {"podSelector": {"matchLabels": here | source.platform_labels}}
        egress: list[dict[str, Any]] = [{"to": [peers]}]
        if not source.compose["networks"][name].get("internal"):
            every = ({"cidr": "0.0.0.0/0", "except": [_OF_NODE]}, {"cidr": "::/0"})
            egress.append({"to": [{"ipBlock": block} for block in every]})
        yield _policy(source, f"{name}.out", here, egress=egress)
        ports = {port for part in source.parts if name in part.networks for port in _open(part)}
        for port in sorted(ports):
            rule: dict[str, Any] = {"from": [peers]}
            if port != _ANY:
                number, _, protocol = port.partition("-")
                rule["ports"] = [{"port": int(number), "protocol": protocol.upper()}]
            labels = here | {f"{_PORT}/{port}": "true"}
            yield _policy(source, f"{name}.{port}", labels, ingress=[rule])


def _of_entry(source: Source) -> Iterable[Manifest]:
    for part in source.parts:
        published = entry.published(part)
        if published:
            rule = {"ports": [{"port": port, "protocol": "TCP"} for port in published]}
            yield _policy(source, f"{part.name}.in", source.selector(part), ingress=[rule])


def _of_api(source: Source) -> Iterable[Manifest]:
    """Yield what lets those reach the cluster's API that have a token for it.

    Some plugins count no address of the cluster itself to a block of addresses.
    """
    if any(part.options.kubernetes.rules for part in source.parts):
        ports = [{"port": port, "protocol": "TCP"} for port in _API_PORTS]
        yield _policy(source, "api.out", {_API: "true"}, egress=[{"ports": ports}])


def _of_own_jobs(source: Source) -> Iterable[Manifest]:
    """Yield what lets jobs beside their platform, in its own cluster, reach its entry."""
    own = source.plan.service_host.host.place
    if not source.apart or own is None or source.place.where != own.where:
        return
    there = {"namespaceSelector": {"matchLabels": {_NAMESPACE: own.namespace}}}
    peers = [{**there, "podSelector": {"matchLabels": source.platform_labels}}]
    listed = source.plan.published_ports(source.plan.service_host)
    ports = [{"port": port, "protocol": "TCP"} for port in listed]
    here = {f"{NETWORK}/edge": "true"}
    yield _policy(source, "platform.out", here, egress=[{"to": peers, "ports": ports}])


# Many networks let a new pod's first packets be lost, until its policies are known on the node.
_ASKING = {"ndots": "2", "timeout": "1", "attempts": "5"}


def names(source: Source) -> dict[str, Any]:
    """Return where pods ask for names: at the platform's own server, which knows its routes."""
    domain = source.cluster.domain
    return {
        "nameservers": [source.nameserver],
        "searches": [f"{source.namespace}.svc.{domain}", f"svc.{domain}", domain],
        "options": [{"name": name, "value": value} for name, value in _ASKING.items()],
    }


def _to_names() -> dict[str, Any]:
    ports = [{"port": _NAMES_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return {"to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": _NODE_NAMES}}], "ports": ports}


def _ports(part: Part) -> list[str]:
    return [f"{port}-{protocol.lower()}" for port, protocol in part.ports] or [_ANY]


def _open(part: Part) -> list[str]:
    return [] if part.options.task or not part.networks else _ports(part)


def _policy(
    source: Source,
    name: str,
    labels: Labels,
    *,
    ingress: list[dict[str, Any]] | None = None,
    egress: list[dict[str, Any]] | None = None,
) -> Manifest:
    """Return a policy for the platform's pods with these labels; what is None is not its matter."""
    selector = {"matchLabels": labels | source.platform_labels}
    spec: dict[str, Any] = {"podSelector": selector, "policyTypes": []}
    for kind, rules in (("Ingress", ingress), ("Egress", egress)):
        if rules is not None:
            spec["policyTypes"].append(kind)
            if rules:  # an empty list is left out by the API, and would always differ
                spec[kind.lower()] = rules
    return source.manifest("NetworkPolicy", name, spec=spec)
