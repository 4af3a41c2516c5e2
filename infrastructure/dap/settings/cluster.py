"""Checks of settings whose target is a cluster, and of those whose target is not.

They look at plain data, so that they can speak even where other values are still wrong.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from dap.settings.problem import Path, Problem, dotted
from dap.settings.source import Source

NODE_PORTS = range(30000, 32768)
"""What a cluster gives to Services of the type NodePort, unless it is set up otherwise."""
_LONGEST = 63  # characters of a DNS label, as a namespace's name is one
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


OWN, OWN_JOBS = "cluster", "jobs"
"""What a platform's own cluster goes by, and where in it jobs run."""


def cluster_problems(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between `target`, `cluster` and what they leave without effect.

    Args:
        source: what the file itself says.
        data: all sections, with the defaults of those that are left out.
    """
    if data.get("target") == "docker" and source.data.get("cluster") is not None:
        what = "has no effect: `target` is docker"
        yield source.problem(("cluster",), what, "target: kubernetes, or no such section")
    yield from _compute_problems(source, data)
    yield from _gitops_problems(source, data)
    if data.get("target") != "kubernetes":
        for here, workspace in _entries(data):
            for key in ("node_selector", "tolerations"):
                if workspace.get(key):
                    what = "has no effect: a host has no nodes"
                    yield source.problem((*here, key), what, "target: kubernetes, or no such key")
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
    namespace = f"{cluster.get('namespace') or data.get('name')}-{OWN_JOBS}"
    if cluster.get("slots") != 0 and len(namespace) > _LONGEST:
        place: Path = ("cluster", "namespace") if cluster.get("namespace") else ("name",)
        what = f"makes the namespace of jobs {len(namespace)} characters long"
        yield source.problem(place, what, f"{_LONGEST - len(OWN_JOBS) - 1} characters at most")
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


def _compute_problems(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between `clusters` and the rest."""
    listed = list(_entries(data, "clusters"))
    if not listed:
        return
    in_cluster = data.get("target") == "kubernetes"
    if data.get("forge") == "lite":
        what = "forge lite starts jobs by Docker's engine, which a cluster has not"
        yield source.problem(("clusters",), what, "forge: gitlab, or no such section")
    if not in_cluster:
        yield from _reached_from_outside(source, data)
    yield from _once(source, data, listed)
    for here, cluster in listed:
        address = cluster.get("platform_address")
        if isinstance(address, str) and _nowhere(address):
            what = "leads each pod to itself"
            allowed = "an IP address of the platform in the cluster's network, or no such key"
            yield source.problem((*here, "platform_address"), what, allowed, address)


def _gitops_problems(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    gitops = data.get("gitops")
    if not isinstance(gitops, dict) or not (
        data.get("target") == "kubernetes" or data.get("clusters")
    ):
        return
    for key in ("apply", "drift"):
        if gitops.get(key):
            what = "a job has no Pulumi, which brings things to a cluster"
            yield source.problem(("gitops", key), what, "no such key; plan does without")


def _once(
    source: Source, data: dict[str, Any], listed: list[tuple[Path, dict[str, Any]]]
) -> Iterator[Problem]:
    """Yield names, labels and namespaces that are there twice."""
    taken: dict[object, str] = {
        each.get("name"): f"is already the name of {dotted(here)} on line {source.line(here)}"
        for here, each in _entries(data, "hosts")
    }
    spaces: dict[object, str] = {}
    own = data.get("cluster")
    if data.get("target") == "kubernetes":
        taken = dict.fromkeys((OWN, OWN_JOBS), "is a name of the platform's own cluster")
        if isinstance(own, dict):
            namespace = own.get("namespace") or data.get("name")
            for name in (namespace, f"{namespace}-jobs"):
                spaces[own.get("context"), name] = "is the platform's own"
    for here, cluster in listed:
        name = cluster.get("name")
        where = f"{dotted(here)} on line {source.line(here)}"
        if name in taken:
            yield source.problem((*here, "name"), taken[name], "another name", name)
            continue
        taken.setdefault(name, f"is already the name of {where}")
        namespace = cluster.get("namespace") or f"{data.get('name')}-{name}"
        if not cluster.get("namespace") and len(namespace) > _LONGEST:
            what = f"makes the namespace {namespace}, which has {len(namespace)} characters"
            allowed = f"a shorter name, or a namespace; {_LONGEST} at most"
            yield source.problem((*here, "name"), what, allowed, name)
        space = (cluster.get("context"), namespace)
        if space in spaces:
            path = (*here, "namespace" if cluster.get("namespace") else "name")
            what = f"its namespace {namespace} in the context {space[0]} {spaces[space]}"
            yield source.problem(path, what, "another namespace", namespace)
        spaces.setdefault(space, f"is already that of {where}")
        labels = cluster.get("labels")
        seen: list[object] = []
        for index, label in enumerate(labels if isinstance(labels, list) else []):
            if label in seen:
                what = f"is already listed at {dotted((*here, 'labels', seen.index(label)))}"
                yield source.problem((*here, "labels", index), what, "", label)
            seen.append(label)


def _reached_from_outside(source: Source, data: dict[str, Any]) -> Iterator[Problem]:
    domain, address = data.get("domain"), data.get("address")
    if isinstance(domain, str) and domain.endswith(".localhost"):
        what = "leads each pod of `clusters` to itself"
        yield source.problem(
            ("domain",), what, "a name that ends otherwise, such as dap.test", domain
        )
    try:
        loopback = ipaddress.ip_address(str(address)).is_loopback
    except ValueError:
        return  # told already
    if loopback:
        what = "is this machine's alone, and `clusters` reach the platform from outside"
        yield source.problem(("address",), what, "an IP address of it, or 0.0.0.0", address)


def _nowhere(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False  # told already
    return parsed.is_loopback or parsed.is_unspecified


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
