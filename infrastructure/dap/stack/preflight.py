"""What keeps a cluster from taking a platform, found before anything is changed.

What an account may not look at, as volumes or other namespaces, is left to the cluster, which
refuses it in the run; the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from kubernetes.dynamic.exceptions import ForbiddenError, NotFoundError
from kubernetes.utils.quantity import parse_quantity

from dap.cluster import Manifest, Objects
from dap.cluster.source import PLATFORM_LABEL
from dap.errors import InputError
from dap.settings import Problem, Settings, choice

Object = Mapping[str, Any]
_quantity: Callable[[str], Decimal] = parse_quantity
Ask = Callable[[str, str, Object | None], Object]
"""Asks the API server: method, path, body. Raises what `kubernetes.dynamic` raises."""

_MADE = ("create", "delete", "get", "list", "patch")
# Beside the objects of the platform: what a deploy looks at, and the Jobs that it runs.
_BESIDE = {
    ("batch", "jobs"): ("create", "delete", "get", "list"),
    ("networking.k8s.io", "ingresses"): ("list",),
    ("rbac.authorization.k8s.io", "roles"): ("list",),
    ("rbac.authorization.k8s.io", "rolebindings"): ("list",),
    ("", "pods"): ("list",),
    ("", "pods/log"): ("get",),
}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BY_HAND = "kubernetes.io/no-provisioner"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def refuse(ask: Ask, settings: Settings, objects: Objects) -> None:
    """Look whether a cluster takes a platform.

    Args:
        ask: asks the API server as the settings' context.
        settings: of a platform on a cluster.
        objects: of the platform.

    Raises:
        InputError: it does not; tells all reasons.
    """
    checks = Preflight(ask, settings, objects)
    found = list(dict.fromkeys(str(each) for each in checks.problems()))
    if found:
        raise InputError("\n".join(found), "nothing was changed")


class Preflight:
    """The checks of one platform on one cluster."""

    def __init__(self, ask: Ask, settings: Settings, objects: Objects) -> None:
        if settings.cluster is None:
            raise ValueError("the platform's target is no cluster")
        self._ask = ask
        self._settings = settings
        self._cluster = settings.cluster
        self._platform = objects.platform
        self._namespace = settings.namespace

    def problems(self) -> Iterator[Problem | str]:
        """Yield what is wrong. Where the account may too little, that is all."""
        there: Object | None = None
        verbs: tuple[str, ...] = ("get", "patch")
        try:
            there = self._ask("get", f"/api/v1/namespaces/{self._namespace}", None)
        except NotFoundError:
            verbs = ("create",)
        except ForbiddenError:
            pass  # told among what it may not
        denied = list(self._denied(verbs))
        if denied:
            yield from denied
            return
        if there and not self._ours(there):
            yield from self._foreign("Namespace", self._namespace, there)
            return
        if there:
            yield from self._others()
            yield from self._quotas()
        yield from self._classes()
        yield from self._ingress_class()
        yield from self._node_ports()

    def _get(self, path: str) -> Object | None:
        """Return what is there; None where nothing is, or this account may not see it."""
        try:
            return self._ask("get", path, None)
        except (NotFoundError, ForbiddenError):
            return None

    def _items(self, path: str) -> list[Any]:
        return list((self._get(path) or {}).get("items") or ())

    def _ours(self, thing: Object) -> bool:
        labels = thing["metadata"].get("labels") or {}
        return bool(labels.get(PLATFORM_LABEL) == self._settings.name)

    # What the account may.

    def _denied(self, of_namespace: Iterable[str]) -> Iterator[str]:
        missing: dict[str, list[str]] = {}
        for verb in of_namespace:
            asked = {"verb": verb, "resource": "namespaces", "name": self._namespace}
            if not self._may(asked):
                missing.setdefault("namespaces", []).append(verb)
        spec = {"spec": {"namespace": self._namespace}}
        said = self._ask("post", f"{_AUTHORIZATION}/selfsubjectrulesreviews", spec)
        rules = said["status"].get("resourceRules") or ()
        for (group, name), verbs in self._wanted().items():
            # What no rule says may be a webhook's to grant, which tells no rules.
            resource, _, part = name.partition("/")
            place = {"group": group, "resource": resource, "namespace": self._namespace}
            lacking = [
                verb
                for verb in verbs
                if not _granted(rules, group, name, verb)
                and not self._may({**place, "verb": verb, "subresource": part})
            ]
            if lacking:
                missing[name] = lacking
        if missing:
            listed = "; ".join(f"{', '.join(verbs)} {name}" for name, verbs in missing.items())
            yield (
                f"context {self._cluster.context} may not do all that a deploy does in namespace "
                f"{self._namespace}: {listed}"
            )

    def _may(self, attributes: Object) -> bool:
        spec = {"spec": {"resourceAttributes": attributes}}
        said = self._ask("post", f"{_AUTHORIZATION}/selfsubjectaccessreviews", spec)
        return bool(said["status"]["allowed"])

    def _wanted(self) -> dict[tuple[str, str], tuple[str, ...]]:
        made = {
            (_group(each), plural(each["kind"])): _MADE
            for each in self._platform
            if each["kind"] != "Namespace"
        }
        return {**_BESIDE, **made}

    # What is somebody else's.

    def _others(self) -> Iterator[str]:
        kinds = {(each["apiVersion"], each["kind"]) for each in self._platform}
        for version, kind in sorted(kinds - {("v1", "Namespace")}):
            names = {each["metadata"]["name"] for each in self._platform if each["kind"] == kind}
            place = f"/api/{version}" if version == "v1" else f"/apis/{version}"
            path = f"{place}/namespaces/{self._namespace}/{plural(kind)}"
            for live in self._items(path):
                name = live["metadata"]["name"]
                if name in names and not self._ours(live):
                    yield from self._foreign(kind, name, live)

    def _foreign(self, kind: str, name: str, live: Object) -> Iterator[str]:
        owner = (live["metadata"].get("labels") or {}).get(PLATFORM_LABEL)
        whose = f"is part of {owner}" if owner else "is somebody else's"
        there = "" if kind == "Namespace" else f" --namespace {self._namespace}"
        yield (
            f"{kind} {name} is there and {whose}: choose another cluster.namespace, or hand it "
            f"over: kubectl --context {self._cluster.context}{there} label --overwrite "
            f"{kind.lower()} {name} {PLATFORM_LABEL}={self._settings.name}"
        )

    # What does not suffice.

    def _quotas(self) -> Iterator[str]:
        given = self._cluster.quota
        settled = {
            "requests.cpu": given.cpus,
            "requests.memory": given.memory,
            "requests.storage": given.storage,
        }
        (own,) = (each for each in self._platform if each["kind"] == "ResourceQuota")
        needed = {
            key: value for key, value in own["spec"]["hard"].items() if settled.get(key) is None
        }
        for live in self._items(f"/api/v1/namespaces/{self._namespace}/resourcequotas"):
            hard = live["spec"].get("hard") or {}
            if self._ours(live):
                continue
            for key, value in needed.items():
                # The API knows requests by their short names, too.
                most = hard.get(key, hard.get(key.removeprefix("requests.")))
                if most is not None and _quantity(most) < _quantity(value):
                    yield (
                        f"ResourceQuota {live['metadata']['name']} of namespace {self._namespace} "
                        f"gives {key} {most}, and the platform needs {value}"
                    )

    def _classes(self) -> Iterator[Problem]:
        path: tuple[str, ...] = ("cluster", "storage_class")
        claims = [each for each in self._platform if each["kind"] == "PersistentVolumeClaim"]
        listed = self._get("/apis/storage.k8s.io/v1/storageclasses")
        if not claims or listed is None:
            return
        found = {each["metadata"]["name"]: each for each in listed.get("items") or ()}
        wanted = self._cluster.storage_class
        if wanted is None:
            default = [
                name
                for name, each in found.items()
                if (each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
            ]
            if not default:
                what = "is left out, and the cluster has no default class"
                yield self._settings.problem(path, what, choice("", sorted(found)))
                return
            wanted = default[0]
        if wanted not in found:
            what = "is no storage class of the cluster"
            yield self._settings.problem(path, what, choice(wanted, sorted(found)), wanted)
        elif found[wanted].get("provisioner") == _BY_HAND:
            yield from self._by_hand(wanted, claims)

    def _ingress_class(self) -> Iterator[Problem]:
        wanted = self._cluster.ingress_class
        listed = self._get("/apis/networking.k8s.io/v1/ingressclasses") if wanted else None
        if wanted is None or listed is None:
            return
        names = sorted(each["metadata"]["name"] for each in listed.get("items") or ())
        if wanted not in names:
            what = "is no ingress class of the cluster"
            path = ("cluster", "ingress_class")
            yield self._settings.problem(path, what, choice(wanted, names), wanted)

    def _by_hand(self, name: str, claims: Iterable[Manifest]) -> Iterator[Problem]:
        """Yield that volumes are missing which somebody has to make."""
        volumes = self._get("/api/v1/persistentvolumes")
        if volumes is None:
            return
        base = f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims"
        bound = {
            each["metadata"]["name"]
            for each in self._items(base)
            if each.get("status", {}).get("phase") == "Bound"
        }
        left = [each for each in claims if each["metadata"]["name"] not in bound]
        free = [
            each
            for each in volumes.get("items") or ()
            if each["spec"].get("storageClassName") == name
            and each.get("status", {}).get("phase") == "Available"
        ]
        if len(free) < len(left):
            what = (
                f"makes no volumes by itself ({_BY_HAND}): {len(left)} are needed, "
                f"{len(free)} are free"
            )
            yield self._settings.problem(
                ("cluster", "storage_class"), what, "a class with a provisioner", name
            )

    def _node_ports(self) -> Iterator[str]:
        wanted = {
            port["nodePort"]
            for each in self._platform
            if each["kind"] == "Service"
            for port in each["spec"].get("ports", ())
            if "nodePort" in port
        }
        for live in self._items("/api/v1/services") if wanted else ():
            names = live["metadata"]
            if names["namespace"] == self._namespace and self._ours(live):
                continue
            for port in live["spec"].get("ports") or ():
                if port.get("nodePort") in wanted:
                    yield (
                        f"platform.yml: ports: NodePort {port['nodePort']} is taken by Service "
                        f"{names['name']} of namespace {names['namespace']}"
                    )


def _granted(rules: Iterable[Object], group: str, resource: str, verb: str) -> bool:
    part = resource.partition("/")[2]
    names = {resource, "*"} | ({f"*/{part}"} if part else set())
    return any(
        not rule.get("resourceNames")
        and {verb, "*"} & set(rule.get("verbs") or ())
        and {group, "*"} & set(rule.get("apiGroups") or ())
        and names & set(rule.get("resources") or ())
        for rule in rules
    )


def _group(thing: Manifest) -> str:
    group, _, version = thing["apiVersion"].rpartition("/")
    return group if version else ""


def plural(kind: str) -> str:
    """Return what the API calls the objects of a kind."""
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


def asking(dynamic: Any) -> Ask:
    """Return what asks the server of a `kubernetes.dynamic` client."""

    def ask(method: str, path: str, body: Object | None) -> Object:
        answer = dynamic.request(method, path, body=body, serialize=False)
        return json.loads(answer.data)  # type: ignore[no-any-return]

    return ask
