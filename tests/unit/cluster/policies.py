"""Judges whether network policies let a connection pass, as a network plugin does.

Source: Kubernetes documentation, "Network Policies": policies add up; a pod that a policy of a
direction selects takes or makes what some rule of these allows and nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pod:
    """A pod of the platform's namespace by its labels."""

    labels: dict[str, str]


@dataclass(frozen=True)
class Elsewhere:
    """What is no pod of the platform's namespace: an address, of a pod of another one or not."""

    address: str
    pod: bool = False


Peer = Pod | Elsewhere


def passes(
    policies: Iterable[dict[str, Any]], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection gets from one to the other."""
    listed = list(policies)
    return _allowed(listed, "Egress", source, target, port, protocol) and _allowed(
        listed, "Ingress", target, source, port, protocol
    )


def _allowed(
    policies: list[dict[str, Any]], kind: str, own: Peer, other: Peer, port: int, protocol: str
) -> bool:
    if not isinstance(own, Pod):
        return True
    mine = [
        policy["spec"]
        for policy in policies
        if kind in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], own)
    ]
    if not mine:
        return True
    side = "to" if kind == "Egress" else "from"
    rules = [rule for spec in mine for rule in spec.get(kind.lower(), ())]
    return any(
        (not rule.get(side) or any(_is(peer, other) for peer in rule[side]))
        and (
            not rule.get("ports")
            or any(p["port"] == port and p["protocol"] == protocol for p in rule["ports"])
        )
        for rule in rules
    )


def _selects(selector: dict[str, Any], pod: Pod) -> bool:
    assert set(selector) <= {"matchLabels"}
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= pod.labels.items()


def _is(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        if isinstance(other, Pod):
            return False  # plugins differ; ours must hold where they do not count
        address = ipaddress.ip_address(other.address)
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(each) for each in block.get("except", ())
        )
    if "namespaceSelector" in peer:
        if "podSelector" in peer:
            return False  # pods of another namespace, whose labels nobody is told here
        assert peer == {"namespaceSelector": {}}
        return isinstance(other, Pod) or other.pod
    return isinstance(other, Pod) and _selects(peer["podSelector"], other)
