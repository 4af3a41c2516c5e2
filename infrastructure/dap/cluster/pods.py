"""The pod of a compose service."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any, Literal

from dap.catalogue.model import Toleration
from dap.cluster import amounts, network, security
from dap.cluster.model import Container, Labels, PodSpec, PodTemplate, Quantities, Resources
from dap.cluster.probes import add_probes
from dap.cluster.source import Part, Source
from dap.cluster.volumes import Mounts

CONFIG = "dap.config"
"""Annotation with a digest of the configuration and secrets: what differs in it starts anew."""
EXCEPTIONS = "dap.exceptions"
"""Annotation that says why a pod is less confined than the default, by Compose key."""
# Docker gives a service no CPU of its own; a tenth of what it may use keeps a busy node fair.
_CPU_SHARE = 10
_LEAST_MILLICPUS = 20
_DEFAULT_GRACE = "10s"
_PULL: dict[str, Literal["Always", "IfNotPresent", "Never"]] = {
    "always": "Always",
    "missing": "IfNotPresent",
    "if_not_present": "IfNotPresent",
    "never": "Never",
}
_WAIT = 'until (: <"/dev/tcp/$0/$1") 2>/dev/null; do sleep 1; done'


def pod_template(source: Source, part: Part, mounts: Mounts) -> PodTemplate:
    """Return what the pods of a part are made from; `mounts` is what they mount.

    Raises:
        InputError: a key has a value that a cluster can't do; names it.
    """
    labels = {**source.labels(part), **network.pod_labels(part)}
    labels |= {_volume_label(name): "true" for name in mounts.claims if name in source.shared}
    annotations = _annotations(part)
    return {
        "metadata": {"labels": labels, **({"annotations": annotations} if annotations else {})},
        "spec": _spec(source, part, mounts),
    }


def _annotations(part: Part) -> Labels:
    found: Labels = {}
    for key in ("labels", "annotations"):
        given = part.keys.get(key) or {}
        if isinstance(given, list):
            given = dict(str(each).partition("=")[::2] for each in given)
        found |= {str(name): str(value) for name, value in given.items()}
    if part.options.exceptions:
        found[EXCEPTIONS] = json.dumps(part.options.exceptions, ensure_ascii=False)
    return found


def _spec(source: Source, part: Part, mounts: Mounts) -> PodSpec:
    keys = part.keys
    spec: PodSpec = {
        "containers": [_container(source, part, mounts)],
        "serviceAccountName": part.folder,
        "automountServiceAccountToken": bool(part.options.kubernetes.rules),
        "enableServiceLinks": False,
        "restartPolicy": _restart(part),
        "securityContext": security.of_pod(part),
        "terminationGracePeriodSeconds": part.read(
            "stop_grace_period",
            amounts.whole_seconds,
            keys.get("stop_grace_period", _DEFAULT_GRACE),
        )
        or 0,
        "dnsPolicy": "ClusterFirst",
    }
    if source.nameserver and not part.options.nameserver:
        spec["dnsPolicy"] = "None"
        spec["dnsConfig"] = network.names(source)
    waits = [_wait(source, part, name, how) for name, how in _dependencies(part)]
    if waits:
        spec["initContainers"] = waits
    if mounts.volumes:
        spec["volumes"] = mounts.volumes
    if keys.get("init"):
        spec["shareProcessNamespace"] = True
    together = [name for name in mounts.claims if name in source.shared]
    if together:
        spec["affinity"] = _on_one_node(source, together)
    if part.replicas > 1:
        spec["topologySpreadConstraints"] = [_spread(source, part)]
    if keys.get("extra_hosts"):
        spec["hostAliases"] = list(_aliases(part))
    if keys.get("hostname"):
        name = str(keys["hostname"])
        if "." in name:
            raise part.refusal(
                "hostname", f"'{name}': must be a DNS label on Kubernetes, without dots"
            )
        spec["hostname"] = name
    placed = part.options.kubernetes
    if placed.node_selector:
        spec["nodeSelector"] = dict(placed.node_selector)
    if placed.tolerations:
        spec["tolerations"] = [_toleration(each) for each in placed.tolerations]
    return spec


def _toleration(given: Toleration) -> dict[str, str]:
    made = {"key": given.key, "operator": "Exists" if given.value is None else "Equal"}
    made |= {} if given.value is None else {"value": given.value}
    return made if given.effect is None else {**made, "effect": given.effect}


def _restart(part: Part) -> Literal["Always", "Never"]:
    policy = str(part.keys.get("restart", "no"))
    if part.options.task or part.options.checks:
        return "Never"
    if policy not in ("always", "unless-stopped"):
        raise part.refusal("restart", f"'{policy}': can't be done on Kubernetes but for a task")
    return "Always"


def _container(source: Source, part: Part, mounts: Mounts) -> Container:
    keys = part.keys
    policy = str(keys.get("pull_policy", "missing"))
    if policy not in _PULL:
        raise part.refusal("pull_policy", f"'{policy}': allowed are {', '.join(_PULL)}")
    image = source.image(str(keys["image"]))
    if image != keys["image"]:
        policy = "missing"  # it is not on the nodes but in the platform's registry
    container: Container = {
        "name": part.name,
        "image": image,
        "imagePullPolicy": _PULL[policy],
        "resources": _resources(part),
        "securityContext": security.of_container(part),
    }
    if keys.get("entrypoint") is not None:
        container["command"] = _words(part, "entrypoint")
    if keys.get("command") is not None:
        container["args"] = _words(part, "command")
    if keys.get("working_dir"):
        container["workingDir"] = str(keys["working_dir"])
    environment = [
        {"name": name, "value": _unexpanded(value)} for name, value in _environment(part)
    ]
    if environment:
        container["env"] = environment
    if part.ports:
        container["ports"] = [
            {"containerPort": port, "protocol": protocol} for port, protocol in part.ports
        ]
    if mounts.mounts:
        container["volumeMounts"] = mounts.mounts
    if keys.get("stdin_open"):
        container["stdin"] = True
    if keys.get("tty"):
        container["tty"] = True
    add_probes(container, part)
    return container


def _words(part: Part, key: str) -> list[str]:
    given = part.keys[key]
    words = shlex.split(given) if isinstance(given, str) else [str(word) for word in given]
    return [_unexpanded(part.plain(key, word)) for word in words]


def _unexpanded(text: str) -> str:
    """Return text that the kubelet, which knows `$(NAME)`, leaves as it is."""
    return text.replace("$(", "$$(")


def _environment(part: Part) -> Iterable[tuple[str, str]]:
    given = part.keys.get("environment") or {}
    if isinstance(given, list):
        given = {name: value if sep else None for name, sep, value in map(_pair, given)}
    for name, value in given.items():
        if value is None:
            raise part.refusal(
                "environment", f"{name}: has no value, and a cluster has none to take"
            )
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield str(name), part.plain("environment", text)


def _pair(text: object) -> tuple[str, str, str]:
    return str(text).partition("=")


def _resources(part: Part) -> Resources:
    sure, most = part.memory
    requests: Quantities = {"memory": amounts.quantity(sure)}
    limits: Quantities = {"memory": amounts.quantity(most)}
    milli = part.amount("cpus", amounts.millicpus)
    requests["cpu"] = amounts.cpus(sure_millicpus(part))
    if milli is not None:
        limits["cpu"] = amounts.cpus(milli)
    gpus = _gpus(part)
    if gpus:
        limits["nvidia.com/gpu"] = gpus
        requests["nvidia.com/gpu"] = gpus
    return {"requests": requests, "limits": limits}


def sure_millicpus(part: Part) -> int:
    """Return the thousandths of a processor that a part is sure to get."""
    milli = part.amount("cpus", amounts.millicpus) or 0
    return max(milli // _CPU_SHARE, _LEAST_MILLICPUS)


def _gpus(part: Part) -> int:
    deploy: dict[str, Any] = part.keys.get("deploy") or {}
    if set(deploy) - {"replicas", "resources"}:
        raise part.refusal(
            "deploy", f"allowed are replicas and resources, found {', '.join(deploy)}"
        )
    resources: dict[str, Any] = deploy.get("resources") or {}
    reservations: dict[str, Any] = resources.get("reservations") or {}
    if set(resources) - {"reservations"} or set(reservations) - {"devices"}:
        raise part.refusal(
            "deploy.resources", "allowed are reservations of devices; use mem_limit, cpus"
        )
    count = 0
    for device in reservations.get("devices") or ():
        wanted = device.get("count")
        if device.get("driver") != "nvidia" or type(wanted) is not int:
            raise part.refusal(
                "x-dap.gpus", "a cluster gives a number of NVIDIA's GPUs, and chooses them"
            )
        count += wanted
    return count


def _dependencies(part: Part) -> Iterable[tuple[str, str]]:
    given = part.keys.get("depends_on") or {}
    if isinstance(given, list):
        given = {name: {} for name in given}
    for name, how in given.items():
        if set(how) - {"condition"}:
            raise part.refusal(f"depends_on.{name}", "allowed is condition")
        yield str(name), str(how.get("condition", "service_started"))


def _wait(source: Source, part: Part, name: str, how: str) -> Container:
    """Return an init container that waits for a service to take connections.

    Its Service leads to pods that are ready alone, so that it started is that it is healthy.
    """
    other = source.by_name.get(name)
    if how not in ("service_started", "service_healthy"):
        raise part.refusal(f"depends_on.{name}.condition", f"'{how}': can't be done on Kubernetes")
    port = next((port for port, kind in other.ports if kind == "TCP"), None) if other else None
    if port is None:
        raise part.refusal(f"depends_on.{name}", "needs a port to wait for; say expose: there")
    small: Quantities = {"cpu": "10m", "memory": "16Mi"}
    return {
        "name": f"wait-{name}",
        "image": source.image(source.plan.images.base.reference),
        "imagePullPolicy": "IfNotPresent" if source.cluster.registry.address else "Never",
        "command": ["bash", "-c", _WAIT, name, str(port)],
        "resources": {"requests": small, "limits": small},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _aliases(part: Part) -> Iterable[dict[str, Any]]:
    """Yield the names of each address, which the API takes once."""
    names: dict[str, list[str]] = {}
    given = part.keys["extra_hosts"]
    pairs = (
        given.items()
        if isinstance(given, dict)
        else (str(each).replace("=", ":", 1).partition(":")[::2] for each in given)
    )
    for name, address in pairs:
        if address == "host-gateway":
            raise part.refusal("extra_hosts", f"{name}: a pod does not reach its node by a name")
        names.setdefault(str(address), []).append(str(name))
    for ip, hostnames in names.items():
        yield {"ip": ip, "hostnames": hostnames}


def _volume_label(name: str) -> str:
    return f"dap.volume/{name}"


def _on_one_node(source: Source, volumes: Iterable[str]) -> dict[str, Any]:
    """Return the affinity of pods that share volumes, each of which is on one node at a time."""
    return {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {
                        "matchLabels": {
                            _volume_label(name): "true",
                            **source.platform_labels,
                        }
                    },
                }
                for name in volumes
            ]
        }
    }


def _spread(source: Source, part: Part) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": source.selector(part)},
    }
