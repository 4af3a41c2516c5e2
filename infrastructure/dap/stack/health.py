"""From what a cluster's API says to findings, in words. Pure functions."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dap.cluster.source import SERVICE_LABEL
from dap.findings import Finding
from dap.stack.quantity import quantity

Object = Mapping[str, Any]
CLUSTER = "cluster"
LEAST_MINOR = 31
# As Kubernetes calls the processors that this machine's images are built for.
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
_AMOUNTS = (("cpu", "processors"), ("memory", "memory"))
_SCARCE, _FULL = 0.10, 0.05  # shares of a volume that are free
_LEAST_FREE = 2**30


def version(said: Object) -> Finding:
    """Judge what `/version` says."""
    name = f"Kubernetes {said.get('gitVersion', '')}"
    # Managed clusters say "31+".
    minor = "".join(each for each in str(said.get("minor", "")) if each.isdigit())
    if said.get("major") == "1" and minor and int(minor) < LEAST_MINOR:
        what = f"{name} is too old: 1.{LEAST_MINOR} or later is needed"
        return Finding("problem", CLUSTER, "version", what, "upgrade the cluster")
    return Finding("ok", CLUSTER, "version", name)


def nodes(found: Iterable[Object], pods: Iterable[Object], needed: Object) -> Iterator[Finding]:
    """Judge the nodes: are they ready, of our images' kind, and is there room for the platform.

    Args:
        found: the nodes.
        pods: of all namespaces but what the platform has there already.
        needed: requests of all of the platform, and of its largest pod: "cpu", "memory", each with
            its amount in all and in one pod.
    """
    well = []
    for node in found:
        name, said = node["metadata"]["name"], list(_node(node))
        yield from said
        if not any(each.level == "problem" for each in said) and not node["spec"].get(
            "unschedulable"
        ):
            well.append((name, node))
    if well:
        well = [each for each in well if architecture(each[1]) == here()]
        if not well:
            what = (
                f"no node that is ready has processors of the kind {here()}, as images built here"
            )
            yield Finding("problem", CLUSTER, "nodes", what, "build on a machine like the nodes")
            return
    if not well:
        yield Finding("problem", CLUSTER, "nodes", "none takes pods", "kubectl get nodes says why")
        return
    yield from _room(well, list(pods), needed)


def architecture(node: Object) -> str:
    """Return of which kind a node's processors are, as Kubernetes says it."""
    return str(node["status"].get("nodeInfo", {}).get("architecture", ""))


def here() -> str:
    """Return of which kind this machine's processors are, as Kubernetes says it."""
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def _node(node: Object) -> Iterator[Finding]:
    name = node["metadata"]["name"]
    describe = f"kubectl describe node {name}"
    conditions = {each["type"]: each for each in node["status"].get("conditions") or ()}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        why = ready.get("message") or ready.get("reason") or "it does not say why"
        yield Finding("problem", CLUSTER, "nodes", f"{name} is not ready: {why}", describe)
    for kind in _PRESSURES:
        if conditions.get(kind, {}).get("status") == "True":
            why = conditions[kind].get("message", "")
            yield Finding("warning", CLUSTER, "nodes", f"{name} has {kind}: {why}", describe)


def _room(well: list[tuple[str, Object]], pods: list[Object], needed: Object) -> Iterator[Finding]:
    taken: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            continue
        own = taken.setdefault(pod["spec"].get("nodeName") or "", {})
        for key, _ in _AMOUNTS:
            own[key] = own.get(key, Decimal()) + _asked(pod["spec"], key)
    shown = []
    for key, title in _AMOUNTS:
        free = {
            name: quantity(node["status"]["allocatable"][key])
            - taken.get(name, {}).get(key, Decimal())
            for name, node in well
        }
        whole, largest = (quantity(each) for each in needed[key])
        told = f"{amount(key, sum(free.values(), Decimal()))} of {title} free on {len(free)} node"
        told += f"{'s' * (len(free) != 1)}, {amount(key, whole)} needed"
        if sum(free.values(), Decimal()) < whole:
            remedy = "give the cluster larger nodes or more, or the services less: resources"
            yield Finding("problem", CLUSTER, "room", told, remedy)
        elif max(free.values()) < largest:
            what = f"a service needs {amount(key, largest)} of {title}, and no node has that free"
            remedy = "give the cluster a larger node, or the service less: resources"
            yield Finding("problem", CLUSTER, "room", what, remedy)
        else:
            shown.append(told)
    if shown:
        yield Finding("ok", CLUSTER, "room", "; ".join(shown))


def _asked(spec: Object, key: str) -> Decimal:
    """Return what a pod asks for: its containers together, or one before them that asks more."""

    def one(container: Object) -> Decimal:
        requests = (container.get("resources") or {}).get("requests") or {}
        return quantity(requests.get(key, 0))

    together = sum((one(each) for each in spec["containers"]), Decimal())
    return max([together, *(one(each) for each in spec.get("initContainers") or ())])


def amount(key: str, value: Decimal) -> str:
    """Return an amount as people read it: processors, or GiB."""
    return f"{value:.1f}" if key == "cpu" else f"{value / 2**30:.1f} GiB"


def claims(found: Iterable[Object], events: Iterable[Object], context: str) -> Iterator[Finding]:
    """Judge whether volumes are there; events tell why one is not."""
    told = list(events)
    count = 0
    for claim in found:
        name, phase = claim["metadata"]["name"], claim.get("status", {}).get("phase")
        if phase == "Bound":
            count += 1
            continue
        said = [
            each.get("message", "")
            for each in told
            if (each["involvedObject"].get("kind"), each["involvedObject"].get("name"))
            == ("PersistentVolumeClaim", name)
        ]
        why = f": {said[-1]}" if said else ""
        remedy = f"kubectl --context {context} --namespace {claim['metadata']['namespace']} "
        remedy += f"describe persistentvolumeclaim {name}; cluster.storage_class chooses another"
        yield Finding("problem", CLUSTER, name, f"the volume is {phase}{why}", remedy)
    if count:
        yield Finding("ok", CLUSTER, "volumes", f"{count} are there")


def restarts(pods: Iterable[Object]) -> Iterator[Finding]:
    """Tell which containers were started again, and how they had ended."""
    for pod in pods:
        service = (pod["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
        for each in pod.get("status", {}).get("containerStatuses") or ():
            count = each.get("restartCount") or 0
            if not count:
                continue
            last = (each.get("lastState") or {}).get("terminated") or {}
            what = f"ended and was started again ({count} times)"
            remedy = f"make logs SERVICE={service} says why"
            if last:
                reason = f", {last['reason']}" if last.get("reason") not in (None, "Error") else ""
                what += f", last with exit status {last.get('exitCode')}{reason}"
            if last.get("reason") == "OOMKilled":
                remedy = "raise its memory in platform.yml: of the workspace, or as "
                remedy += f"resources.{service}.memory"
            yield Finding("warning", CLUSTER, service, what, remedy)


@dataclass(frozen=True)
class Volume:
    """How full a volume is: its claim, what it is on (node and device), bytes in all and free."""

    name: str
    on: str
    size: int
    free: int


def volumes(found: Iterable[Volume]) -> Iterator[Finding]:
    """Judge how full volumes are; those that are on one device are judged as one."""
    devices: dict[str, list[Volume]] = {}
    for each in found:
        devices.setdefault(each.on, []).append(each)
    for together in devices.values():
        names = sorted(each.name for each in together)
        first = together[0]
        share = first.free / first.size if first.size else 0
        what = f"{first.free / 2**30:.1f} GiB ({share:.0%}) free for {', '.join(names)}"
        if share >= _SCARCE:
            yield Finding("ok", CLUSTER, "disk", what)
            continue
        full = share < _FULL and first.free < _LEAST_FREE
        remedy = f"free some, or say more as cluster.sizes.{names[0]}, where the class lets it grow"
        if len(names) > 1:
            remedy = "free some of what they share: it is their node's"
        yield Finding("problem" if full else "warning", CLUSTER, "disk", what, remedy)


def mounted(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield the claims that a pod's first container has mounted, and where."""
    volumes = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in each
    }
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        if mount["name"] in volumes:
            yield volumes[mount["name"]], mount["mountPath"]


def apart(pods: Iterable[Object], network: str) -> tuple[Object, Object, int] | None:
    """Return a pod, one that it must not reach, and a TCP port of that; None where all may.

    Args:
        pods: that run.
        network: what stands before the name of a network in a label.
    """

    def networks(pod: Object) -> set[str]:
        labels = pod["metadata"].get("labels") or {}
        return {each for each in labels if each.startswith(f"{network}/")}

    running = [pod for pod in pods if pod.get("status", {}).get("podIP") and networks(pod)]
    for asks in running:
        for answers in running:
            ports = [
                port["containerPort"]
                for port in answers["spec"]["containers"][0].get("ports") or ()
                if port.get("protocol", "TCP") == "TCP"
            ]
            if ports and not networks(asks) & networks(answers):
                return asks, answers, ports[0]
    return None
