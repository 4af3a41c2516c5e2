"""Examines a cluster before a deploy, and the platform in it after one; changes nothing there."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from kubernetes.client import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError

from dap.cluster import Objects
from dap.cluster.network import NETWORK
from dap.doctor import Examination
from dap.engine import Prepared
from dap.errors import DapError
from dap.findings import Finding
from dap.onhost.handshake import shown
from dap.settings import ClusterRegistry
from dap.stack import clusters, entry, health, pulls
from dap.stack.checks import of_checks
from dap.stack.health import CLUSTER
from dap.stack.images import lacking, look_as_nodes, needed
from dap.stack.live import Live, connected
from dap.stack.model import WORKLOADS
from dap.stack.place import of_cluster, of_platform
from dap.stack.plan import objects_of
from dap.stack.quantity import quantity
from dap.stack.verify import left
from dap.status.judge import CERTIFICATES, judge_certificate

_DF = 'df --block-size=1 --output=source,size,avail "$0" | tail -n 1 | base64 -w 0'
_TRY_S = 3
_KNOCK = (
    'if timeout "$2" bash -c \': <"/dev/tcp/$0/$1"\' "$0" "$1" 2>/dev/null; '
    "then echo open; else echo shut; fi | base64 -w 0"
)


def examine(prepared: Prepared) -> Examination:
    """Ask the cluster what it has, lacks and refuses, and how the platform in it is."""
    settings = prepared.plan.settings
    deployed = False
    try:
        place, made = of_platform(settings, prepared.root), objects_of(prepared)
        with connected(place) as live, connected(of_checks(place)) as checks:
            pods = live.own_pods()
            deployed = bool(pods)
            found = list(_examined(_Case(prepared, made, live, checks, pods)))
    except DapError as error:
        found = [Finding("problem", CLUSTER, "context", error.message, error.hint)]
    found += of_clusters(prepared)
    return Examination(settings.name, deployed, tuple(found))


def of_clusters(prepared: Prepared) -> list[Finding]:
    """Return whether clusters that run jobs take what is for them, and how what is there is."""
    if not prepared.plan.clusters:
        return []
    there = clusters.stacks(prepared)
    found: list[Finding] = []
    for host, made in clusters.objects_of_all(prepared):
        name = host.host.name
        try:
            with of_cluster(prepared, host.host) as place, connected(place) as live:
                examined = list(
                    _of_cluster(prepared, place.context, made, live, there=name in there)
                )
        except DapError as error:
            examined = [Finding("problem", CLUSTER, "context", error.message, error.hint)]
        found += [replace(each, host=name) for each in examined]
    return found


def _of_cluster(
    prepared: Prepared, context: str, made: Objects, live: Live, *, there: bool
) -> Iterator[Finding]:
    """Yield what is well or wrong in a cluster that runs jobs; `there`: it was deployed to."""
    yield health.version(live.look("/version") or {})
    yield from _taken(live, prepared, made, f"context {context} takes jobs")
    if there:
        yield from _of_services(live, made, live.own_pods(), ClusterRegistry())


class _Case:
    """A platform, its cluster, and the pods that it has there."""

    def __init__(
        self,
        prepared: Prepared,
        made: Objects,
        live: Live,
        checks: Live,
        pods: list[dict[str, Any]],
    ) -> None:
        self.prepared, self.made, self.pods = prepared, made, pods
        self.live, self.checks = live, checks
        self.settings = prepared.plan.settings
        if self.settings.cluster is None:
            raise ValueError("the platform's target is no cluster")
        self.cluster = self.settings.cluster

    @property
    def running(self) -> list[dict[str, Any]]:
        """The pods that run, and do not end by themselves."""
        return [
            pod
            for pod in self.pods
            if pod.get("status", {}).get("phase") == "Running"
            and pod["spec"].get("restartPolicy") == "Always"
        ]


def _examined(case: _Case) -> Iterator[Finding]:
    before: list[Callable[[_Case], Iterable[Finding]]] = [_version, _takes, _nodes, _images, _names]
    after = [_services, _claims, _disks, _certificates, _policies, _left]
    for check in (*before, *(after if case.pods else ())):
        try:
            yield from check(case)
        except (DynamicApiError, ApiException) as error:
            said = f"the account may not look, or the cluster refuses: {error.reason}"
            yield Finding("warning", CLUSTER, check.__name__.strip("_"), said, _RIGHTS)
        except DapError as error:
            yield Finding("problem", CLUSTER, check.__name__.strip("_"), error.message, error.hint)


def _left(case: _Case) -> Iterator[Finding]:
    for each in left(case.live, case.checks):
        what = f"{each} is there: a run of the tests in the cluster is at work, or was killed"
        yield Finding("warning", CLUSTER, "tests", what, "make verify IN_CLUSTER=1 takes it away")


_RIGHTS = "see which rights it needs: doc/kubernetes-setup.md"


def _version(case: _Case) -> Iterator[Finding]:
    yield health.version(case.live.look("/version") or {})


def _takes(case: _Case) -> Iterator[Finding]:
    what = f"context {case.cluster.context} takes the platform"
    yield from _taken(case.live, case.prepared, case.made, what)


def _taken(live: Live, prepared: Prepared, made: Objects, what: str) -> Iterator[Finding]:
    """Yield why a cluster does not take objects; `what` says that it does."""
    problems = live.problems(prepared.plan.settings, made)
    for each in problems:
        yield Finding("problem", CLUSTER, "deploy", each, "mend it: a deploy is refused until then")
    if not problems:
        yield Finding("ok", CLUSTER, "deploy", f"{what} in namespace {live.place}")


def _nodes(case: _Case) -> Iterator[Finding]:
    listed, pods = case.live.look("/api/v1/nodes"), case.live.look("/api/v1/pods")
    if listed is None or pods is None:
        what = "the account may not see them, nor whether there is room"
        yield Finding("warning", CLUSTER, "nodes", what, _RIGHTS)
        return
    others = [
        pod for pod in pods.get("items") or () if pod["metadata"]["namespace"] != case.live.place
    ]
    yield from health.nodes(listed.get("items") or (), others, _needed(case.made))


def _needed(made: Objects) -> dict[str, tuple[str, str]]:
    """Return what all of a platform asks for, and what its largest pod does."""
    quota = next(each for each in made.platform if each["kind"] == "ResourceQuota")
    whole: Any = quota["spec"]["hard"]
    found = {}
    for key in ("cpu", "memory"):
        largest = max(
            quantity(container["resources"]["requests"][key])
            for each in made.platform
            if each["kind"] in WORKLOADS
            for container in each["spec"]["template"]["spec"]["containers"]
        )
        found[key] = (str(whole[f"requests.{key}"]), str(largest))
    return found


def _images(case: _Case) -> Iterator[Finding]:
    count = len(needed(case.prepared.plan))
    if not case.cluster.registry.address:
        what = f"nodes must have {count} images beforehand: there is no cluster.registry"
        yield Finding("ok", CLUSTER, "images", f"{what}; make images NAMES=1 names them")
        return
    missing = lacking(case.prepared)
    if not missing:
        look_as_nodes(case.prepared)
    told = f"{len(missing)} are to be pushed by the next deploy" if missing else "it has them all"
    yield Finding("ok", CLUSTER, "images", f"{case.cluster.registry.address}: {told}")


def _names(case: _Case) -> Iterator[Finding]:
    wanted = entry.outside(case.settings, case.live, entry.name(case.prepared.plan))
    domain = case.settings.domain
    if not wanted:
        if case.pods and case.cluster.service == "LoadBalancer":
            what = "the entry has no address: no load balancer has given it one"
            remedy = "see what gives addresses there; or cluster.service: NodePort"
            yield Finding("problem", CLUSTER, "address", what, remedy)
        return
    found = _addresses(domain)
    remedy = f"a wildcard in the DNS: {domain} and *.{domain} lead to {wanted}"
    if not found:
        yield Finding("warning", CLUSTER, "names", f"{domain} is not known here", remedy)
    elif not found & _addresses(wanted):
        what = f"{domain} leads to {', '.join(sorted(found))} here, not to {wanted}"
        yield Finding("warning", CLUSTER, "names", what, remedy)
    else:
        yield Finding("ok", CLUSTER, "names", f"{domain} leads to {wanted}")


def _addresses(name: str) -> set[str]:
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(name, None)}
    except OSError:
        return set()
    return {str(ipaddress.ip_address(each.partition("%")[0])) for each in found}


def _services(case: _Case) -> Iterator[Finding]:
    yield from _of_services(case.live, case.made, case.pods, case.cluster.registry)


def _of_services(
    live: Live, made: Objects, pods: Iterable[dict[str, Any]], registry: ClusterRegistry
) -> Iterator[Finding]:
    missing = live.missing(made)
    for name, why in sorted(missing.items()):
        remedy = pulls.remedy(registry, why) or f"make logs SERVICE={name} says why"
        if why in ("is not there", "no pod yet"):
            remedy = "make deploy"
        yield Finding("problem", CLUSTER, name, why, remedy)
    count = sum(each["kind"] in WORKLOADS for each in made.platform)
    if not missing:
        yield Finding("ok", CLUSTER, "services", f"all {count} are well")
    yield from health.restarts(pods)


def _claims(case: _Case) -> Iterator[Finding]:
    found = case.live.all("v1", "PersistentVolumeClaim")
    events = case.live.all("v1", "Event") if _unbound(found) else []
    yield from health.claims(found, events, case.cluster.context)


def _unbound(found: Iterable[dict[str, Any]]) -> bool:
    return any(each.get("status", {}).get("phase") != "Bound" for each in found)


def _disks(case: _Case) -> Iterator[Finding]:
    found: dict[str, health.Volume] = {}
    for pod in case.running:
        for claim, place in health.mounted(pod):
            if claim in found:
                continue
            said = case.live.output(pod["metadata"]["name"], ["sh", "-c", _DF, place])
            device, size, free = said.split()
            on = f"{pod['spec'].get('nodeName')} {device}"
            found[claim] = health.Volume(claim, on, int(size), int(free))
    yield from health.volumes(found.values())


def _certificates(case: _Case) -> Iterator[Finding]:
    now, own = dt.datetime.now(dt.UTC), bool(case.settings.tls.certificate)
    pems = {"authority": case.prepared.secrets["tls/ca-certificate"]}
    address = entry.outside(case.settings, case.live, entry.name(case.prepared.plan))
    port = case.settings.ports.https
    if address:
        said = shown(address, port, case.settings.domain)
        if "error" in said:
            remedy = "see that this machine has a way to it; make logs shows what the entry says"
            yield Finding(
                "problem", CLUSTER, "address", f"it does not answer: {said['error']}", remedy
            )
        else:
            pems["server"] = said["pem"]
    for kind, pem in pems.items():
        certificate, wrong = judge_certificate(CERTIFICATES[kind], pem, now, own=own)
        for level, what, remedy in wrong:
            yield Finding(level, CLUSTER, "certificate", what, remedy)
        if not wrong:
            what = f"{certificate.name}: {certificate.days} days left"
            yield Finding("ok", CLUSTER, "certificate", what)


def _policies(case: _Case) -> Iterator[Finding]:
    """Tell whether network policies hold: one pod tries another that it must not reach."""
    found = health.apart(case.running, NETWORK)
    if found is None:
        return
    asks, answers, port = found
    address, names = (
        answers["status"]["podIP"],
        [each["metadata"]["name"] for each in (asks, answers)],
    )
    command = ["bash", "-c", _KNOCK, address, str(port), str(_TRY_S)]
    if case.live.output(names[0], command).strip() == "open":
        what = f"they are not enforced: {names[0]} reaches {names[1]} at port {port}"
        remedy = "a network plugin that enforces NetworkPolicies, such as Calico or Cilium"
        yield Finding("problem", CLUSTER, "policies", what, remedy)
    else:
        what = f"they are enforced: {names[0]} does not reach {names[1]} at port {port}"
        yield Finding("ok", CLUSTER, "policies", what)
