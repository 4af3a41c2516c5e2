"""Checks of settings whose target is a cluster, and of those whose target is not.

They look at plain data, so that they can speak even where other values are still wrong.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from dap.settings.problem import Path, Problem
from dap.settings.source import Source

NODE_PORTS = range(30000, 32768)
"""What a cluster gives to Services of the type NodePort, unless it is set up otherwise."""
_PUBLISHED = ("http", "https", "ssh", "postgres", "workspaces")
_OF_INGRESS = ("http", "https")
# What describes machines, of which a cluster has its own; `*` stands for any entry of a list.
_OF_HOSTS: dict[Path, str] = {
    ("hosts",): "the cluster has nodes of its own; `cluster` describes it",
    ("ports", "hosts"): "a cluster is one host",
    ("ports", "engines"): "a cluster has no engine of Docker",
    ("workspaces", "*", "host"): "the cluster places workspaces on its nodes",
    ("workspaces", "*", "idle_stop"): "a cluster starts anew what has stopped",
}


def cluster_problems(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between `target`, `cluster` and what they leave without effect.

    Args:
        source: what the file itself says.
        data: all sections, with the defaults of those that are left out.
    """
    if data.get("target") == "docker" and source.data.get("cluster") is not None:
        what = "has no effect: `target` is docker"
        yield source.problem(("cluster",), what, "target: kubernetes, or no such section")
    if data.get("target") != "kubernetes":
        return
    if source.data.get("cluster") is None:
        allowed = "cluster: {context: NAME}, a context of the kubeconfig"
        yield source.problem(("target",), "needs the section `cluster`", allowed, "kubernetes")
    cluster = source.data.get("cluster")
    cluster = cluster if isinstance(cluster, dict) else {}
    for path, why in _OF_HOSTS.items():
        for found in _given(source.data, path):
            yield source.problem(found, f"has no effect on a cluster: {why}", "no such key")
    yield from _names(source, data)
    if data.get("forge") == "lite" and cluster.get("slots") != 0:
        yield source.problem(
            ("forge",),
            "runs pipelines by Docker's engine, which a cluster has not",
            "gitlab, or lite with `cluster.slots: 0`: repositories without pipelines",
            "lite",
        )
    registry = cluster.get("registry")
    if isinstance(registry, dict) and not registry.get("address"):
        for key in ("user", "push_user", "ca"):
            if registry.get(key):
                what = "has no effect without an address"
                yield source.problem(("cluster", "registry", key), what, "address: HOST, too")
    yield from _ingress(source, cluster)
    if cluster.get("service") == "NodePort":
        yield from _node_ports(source, data)
    for here, workspace in _entries(data, "workspaces"):
        gpus = workspace.get("gpus", 0)
        if gpus == "all" or isinstance(gpus, list):
            what = "can't be asked of a cluster, which chooses GPUs by itself"
            yield source.problem((*here, "gpus"), what, "a number of GPUs", gpus)


def _names(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    domain = data.get("domain")
    if isinstance(domain, str) and domain.endswith(".localhost"):
        what = "leads everybody to their own machine, and a cluster is another"
        yield source.problem(
            ("domain",), what, "a name that ends otherwise, such as dap.test", domain
        )
    if "address" not in source.data:
        return
    try:
        address = ipaddress.ip_address(str(data["address"]))
    except ValueError:
        return  # told already
    if address.is_loopback or address.is_unspecified:
        allowed = "an IP address for the load balancer or of a node, or no such key"
        yield source.problem(
            ("address",), "can't be where a cluster is reached", allowed, data["address"]
        )


def _ingress(source: Source, cluster: dict[str, Any]) -> Iterator[Problem]:
    given, annotations = cluster.get("ingress_class"), cluster.get("ingress_annotations")
    path = ("cluster", "ingress_annotations")
    if annotations and not given:
        yield source.problem(path, "have no effect without a class", "ingress_class: NAME, too")
    if given and not annotations:
        what = "needs cluster.ingress_annotations, by which its controller passes TLS on unopened"
        allowed = "what doc/kubernetes.md lists for some controllers"
        yield source.problem(("cluster", "ingress_class"), what, allowed, given)


def _node_ports(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    published = data.get("ports")
    ports = published if isinstance(published, dict) else {}
    # An Ingress's are its controller's.
    led = _OF_INGRESS if source.data["cluster"].get("ingress_class") else ()
    keys = [key for key in _PUBLISHED if key not in led]
    listed: list[tuple[Path, object]] = [(("ports", key), ports.get(key)) for key in keys]
    listed += [((*here, "ssh_port"), each.get("ssh_port")) for here, each in _entries(data)]
    allowed = f"{NODE_PORTS.start} to {NODE_PORTS.stop - 1}, or `cluster.service: LoadBalancer`"
    for path, port in listed:
        if type(port) is int and port not in NODE_PORTS:
            yield source.problem(path, "is no port of a NodePort service", allowed, port)


def _entries(data: dict[str, Any], key: str = "workspaces") -> Iterator[tuple[Path, Any]]:
    listed = data.get(key)
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(entry, dict):
            yield (key, index), entry


def _given(data: Any, path: Path) -> Iterator[Path]:
    """Yield each place of `path` that the file has a value at."""
    first, *rest = path
    if first == "*":
        listed = enumerate(data) if isinstance(data, list) else ()
        for index, entry in listed:
            for found in _given(entry, tuple(rest)):
                yield (index, *found)
    elif isinstance(data, dict) and data.get(str(first)) is not None:
        if not rest:
            yield (first,)
            return
        for found in _given(data[str(first)], tuple(rest)):
            yield (first, *found)
