"""Only the proxy is reachable from outside, and only at its own ports."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from acceptance import expect_none
from acceptance.cluster import Cluster
from dap.cluster.source import SERVICE_LABEL

WAIT_S = 1.0
AT_ONCE = 32
REMEDY = "remove what is not the platform's; make deploy"


def test_only_the_proxy_is_published(host: Cluster) -> None:
    """By a Service of a type that leads in from outside, an Ingress, or a port of a node."""
    problems = []
    for name, service in host.kinds["v1", "Service"].items():
        spec = service["spec"]
        outside = spec.get("type") in ("NodePort", "LoadBalancer") or spec.get("externalIPs")
        if outside and ("Service", name) not in entrances(host):
            problems.append(f"the Service {name} is published: {spec.get('type')}")
    problems += [
        f"the Ingress {name} leads in"
        for name in host.kinds["networking.k8s.io/v1", "Ingress"]
        if ("Ingress", name) not in entrances(host)
    ]
    for pod in host.everything:
        name, spec = pod["metadata"]["name"], pod["spec"]
        if spec.get("hostNetwork"):
            problems.append(f"the pod {name} is in the network of its node")
        problems += [
            f"the pod {name} publishes port {port['hostPort']} of its node"
            for container in spec["containers"]
            for port in container.get("ports") or ()
            if port.get("hostPort")
        ]
    expect_none(problems, REMEDY)


def test_its_ports_are_those_of_the_plan(host: Cluster) -> None:
    found = {each["port"] for each in host.kinds["v1", "Service"][host.entry]["spec"]["ports"]}
    wanted = set(host.ports)
    expect_none(
        (
            *(f"{host.entry} lacks the port {port}" for port in sorted(wanted - found)),
            *(f"{host.entry} publishes the port {port}" for port in sorted(found - wanted)),
        ),
        "make deploy",
    )


def test_pods_are_out_of_reach_from_here(host: Cluster) -> None:
    """Their ports and those of their Services are tried: this machine is none of the platform's.

    Where it has no way to these addresses at all, nothing is to be seen, and nobody else sees more.
    """
    places = {
        (pod["status"]["podIP"], port["containerPort"], pod["metadata"]["name"])
        for service, pods in host.pods.items()
        if service != host.entry
        for pod in pods
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    }
    places |= {
        (service["spec"]["clusterIP"], port["port"], f"the Service {name}")
        for name, service in host.kinds["v1", "Service"].items()
        if ("Service", name) not in entrances(host) and service["spec"]["clusterIP"] != "None"
        for port in service["spec"]["ports"]
        if port["protocol"] == "TCP"
    }
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = zip(places, threads.map(lambda place: answers(*place[:2]), places), strict=True)
        is_open = sorted(
            f"{place[2]} is open at {place[0]}:{place[1]}" for place, so in found if so
        )
    expect_none(is_open, "does the cluster's network enforce NetworkPolicies? make deploy")


def entrances(host: Cluster) -> set[tuple[str, str]]:
    """Kinds and names of what leads to the proxy by the settings."""
    return {
        (each["kind"], each["metadata"]["name"])
        for each in host.planned.platform
        if each["metadata"]["labels"].get(SERVICE_LABEL) == host.entry
    }


def answers(address: str, port: int) -> bool:
    """Tell whether something takes connections there."""
    try:
        with socket.create_connection((address, port), timeout=WAIT_S):
            return True
    except OSError:
        return False
