"""What keeps a cluster from taking objects, found before anything is changed.

What an account may not look at, as volumes or other namespaces, is left to the cluster, which
refuses it in the run; the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from kubernetes.dynamic.exceptions import ForbiddenError, NotFoundError

from dap.cluster import Manifest, Objects, amounts
from dap.cluster.source import PLATFORM_LABEL
from dap.errors import InputError
from dap.settings import Problem, Settings, choice
from dap.stack.model import SWEPT
from dap.stack.place import Place
from dap.stack.quantity import quantity

Object = Mapping[str, Any]
Ask = Callable[[str, str, Object | None], Object]
"""Asks the API server: method, path, body. Raises what `kubernetes.dynamic` raises."""

_MADE = ("create", "delete", "get", "list", "patch")
_RUN = ("create", "delete", "get", "list")
_ROLES = "rbac.authorization.k8s.io"
# Who may do these with roles, may give what they have not themselves.
_BEYOND = ("escalate", "bind")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BY_HAND = "kubernetes.io/no-provisioner"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def refuse(ask: Ask, settings: Settings, place: Place, objects: Objects) -> None:
    """Look whether a cluster takes objects: a platform's, or those of its clusters that run jobs.

    Args:
        ask: asks the API server as the context of `place`.
        settings: of the platform.
        place: of the objects.
        objects: what is wanted there.

    Raises:
        InputError: it does not; tells all reasons.
    """
    found = problems(ask, settings, place, objects)
    if found:
        raise InputError("\n".join(found), "nothing was changed")


def problems(ask: Ask, settings: Settings, place: Place, objects: Objects) -> list[str]:
    """Return what keeps a cluster from taking objects; the arguments are those of `refuse`."""
    return list(dict.fromkeys(map(str, Preflight(ask, settings, place, objects).problems())))


def seen(ask: Ask, path: str) -> Object | None:
    """Return what the API has at a path; None where nothing is, or the account may not see it."""
    try:
        return ask("get", path, None)
    except (NotFoundError, ForbiddenError):
        return None


class Preflight:
    """The checks of what is wanted in one namespace of one cluster."""

    def __init__(self, ask: Ask, settings: Settings, place: Place, objects: Objects) -> None:
        if place.at is None:
            raise ValueError(f"where {place.stack} is, its state alone knows")
        self._ask = ask
        self._settings = settings
        self._at = place.at
        self._context = place.context
        self._namespace = place.namespace
        self._wanted = objects.platform
        self._tasks = objects.tasks

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong. Where the account may too little, that is all."""
        there: Object | None = None
        verbs: tuple[str, ...] = ("get", "patch")
        try:
            there = self._ask("get", f"/api/v1/namespaces/{self._namespace}", None)
        except NotFoundError:
            verbs = ("create",)
        except ForbiddenError:
            pass  # told among what it may not
        denied = [*self._denied(verbs)]
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

    def _problem(self, key: str, what: str, allowed: str = "", *found: object) -> Problem:
        """Return a problem at a key of the section that describes the cluster."""
        return self._settings.problem((*self._at.where, key), what, allowed, *found)

    def _of(self, kind: str) -> list[Manifest]:
        return [each for each in self._wanted if each["kind"] == kind]

    def _items(self, path: str) -> list[Any]:
        return list((seen(self._ask, path) or {}).get("items") or ())

    def _ours(self, thing: Object) -> bool:
        labels = thing["metadata"].get("labels") or {}
        return bool(labels.get(PLATFORM_LABEL) == self._settings.name)

    # What the account may.

    def _denied(self, of_namespace: Iterable[str]) -> Iterator[Problem]:
        missing: dict[str, list[str]] = {}
        for verb in of_namespace:
            asked = {"verb": verb, "resource": "namespaces", "name": self._namespace}
            if not self._may(asked):
                missing.setdefault("namespaces", []).append(verb)
        spec = {"spec": {"namespace": self._namespace}}
        said = self._ask("post", f"{_AUTHORIZATION}/selfsubjectrulesreviews", spec)
        rules = said["status"].get("resourceRules") or ()
        for (group, name), verbs in self._needed().items():
            # What no rule says may be a webhook's to grant, which tells no rules.
            lacking = [
                verb
                for verb in verbs
                if not _granted(rules, group, name, verb) and not self._may_here(group, name, verb)
            ]
            if lacking:
                missing[name] = lacking
        if missing:
            yield self._problem(
                "context",
                f"{self._context} may not do all that a deploy does in namespace "
                f"{self._namespace}: {_listed(missing)}",
            )
        yield from self._beyond(rules)

    def _beyond(self, rules: Sequence[Object]) -> Iterator[Problem]:
        """Yield what roles give that the account has not.

        Kubernetes lets nobody give that ("Privilege escalation prevention and bootstrapping"); it
        goes by rules, which say nothing of a webhook's grants.
        """
        lacking: dict[str, dict[str, list[str]]] = {}
        for role in self._of("Role"):
            for rule in role["rules"]:
                parts = (rule["apiGroups"], rule["resources"], rule["verbs"])
                for group, name, verb in product(*parts):
                    if not _granted(rules, group, name, verb):
                        of_role = lacking.setdefault(role["metadata"]["name"], {})
                        of_role.setdefault(name, []).append(verb)
        if not lacking or all(self._may_here(_ROLES, "roles", verb) for verb in _BEYOND):
            return
        for role_name, missing in lacking.items():
            yield self._problem(
                "context",
                f"{self._context} has not itself what Role {role_name} gives in namespace "
                f"{self._namespace}, and nobody can give what they have not: {_listed(missing)}",
            )

    def _may(self, attributes: Object) -> bool:
        spec = {"spec": {"resourceAttributes": attributes}}
        said = self._ask("post", f"{_AUTHORIZATION}/selfsubjectaccessreviews", spec)
        return bool(said["status"]["allowed"])

    def _may_here(self, group: str, name: str, verb: str) -> bool:
        resource, _, part = name.partition("/")
        place = {"group": group, "resource": resource, "namespace": self._namespace}
        return self._may({**place, "verb": verb, "subresource": part})

    def _needed(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the verbs that a deploy needs of each resource."""
        looked = {(_group(version), plural(kind)): ("list",) for version, kind in SWEPT}
        run = {("batch", "jobs"): _RUN, ("", "pods/log"): ("get",)} if self._tasks else {}
        made = {
            (_group(each["apiVersion"]), plural(each["kind"])): _MADE
            for each in self._wanted
            if each["kind"] != "Namespace"
        }
        return {("", "pods"): ("list",), **looked, **run, **made}

    # What is somebody else's.

    def _others(self) -> Iterator[Problem]:
        kinds = {(each["apiVersion"], each["kind"]) for each in self._wanted}
        for version, kind in sorted(kinds - {("v1", "Namespace")}):
            names = {each["metadata"]["name"] for each in self._of(kind)}
            place = f"/api/{version}" if version == "v1" else f"/apis/{version}"
            path = f"{place}/namespaces/{self._namespace}/{plural(kind)}"
            for live in self._items(path):
                name = live["metadata"]["name"]
                if name in names and not self._ours(live):
                    yield from self._foreign(kind, name, live)

    def _foreign(self, kind: str, name: str, live: Object) -> Iterator[Problem]:
        owner = (live["metadata"].get("labels") or {}).get(PLATFORM_LABEL)
        whose = f"is part of {owner}" if owner else "is somebody else's"
        there = "" if kind == "Namespace" else f" --namespace {self._namespace}"
        yield self._problem(
            "namespace",
            f"{kind} {name} is there and {whose}",
            f"another namespace, or hand it over: kubectl --context {self._context}{there} label "
            f"--overwrite {kind.lower()} {name} {PLATFORM_LABEL}={self._settings.name}",
        )

    # What does not suffice.

    def _quotas(self) -> Iterator[Problem]:
        given = self._at.cluster.quota
        settled = {
            "requests.cpu": given.cpus,
            "requests.memory": given.memory,
            "requests.storage": given.storage,
        }
        (own,) = self._of("ResourceQuota")
        # The platform's own says nothing of storage where the settings don't.
        asked = {"requests.storage": self._storage(), **own["spec"]["hard"]}
        needed = {key: value for key, value in asked.items() if settled.get(key) is None}
        for live in self._items(f"/api/v1/namespaces/{self._namespace}/resourcequotas"):
            hard = live["spec"].get("hard") or {}
            if self._ours(live):
                continue
            for key, value in needed.items():
                # The API knows requests by their short names, too.
                most = hard.get(key, hard.get(key.removeprefix("requests.")))
                if most is not None and quantity(most) < quantity(value):
                    yield self._problem(
                        "namespace",
                        f"ResourceQuota {live['metadata']['name']} of namespace {self._namespace} "
                        f"gives {key} {most}, and the platform needs {value} there",
                    )

    def _storage(self) -> str:
        """Return what all claims ask for."""
        claims = self._of("PersistentVolumeClaim")
        sizes = (each["spec"]["resources"]["requests"]["storage"] for each in claims)
        return amounts.quantity(int(sum(map(quantity, sizes))))

    def _classes(self) -> Iterator[Problem]:
        claims = self._of("PersistentVolumeClaim")
        listed = seen(self._ask, "/apis/storage.k8s.io/v1/storageclasses") if claims else None
        if listed is None:
            return
        found = {each["metadata"]["name"]: each for each in listed.get("items") or ()}
        wanted = self._at.cluster.storage_class
        if wanted is None:
            default = [
                name
                for name, each in found.items()
                if (each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
            ]
            if not default:
                what = "is left out, and the cluster has no default class"
                yield self._problem("storage_class", what, choice("", sorted(found)))
                return
            wanted = default[0]
        if wanted not in found:
            what = "is no storage class of the cluster"
            yield self._problem("storage_class", what, choice(wanted, sorted(found)), wanted)
        elif found[wanted].get("provisioner") == _BY_HAND:
            yield from self._by_hand(wanted, claims)

    def _ingress_class(self) -> Iterator[Problem]:
        wanted = self._at.cluster.ingress_class
        listed = seen(self._ask, "/apis/networking.k8s.io/v1/ingressclasses") if wanted else None
        if wanted is None or listed is None:
            return
        names = sorted(each["metadata"]["name"] for each in listed.get("items") or ())
        if wanted not in names:
            what = "is no ingress class of the cluster"
            yield self._problem("ingress_class", what, choice(wanted, names), wanted)

    def _by_hand(self, name: str, claims: Iterable[Manifest]) -> Iterator[Problem]:
        """Yield that volumes are missing which somebody has to make."""
        volumes = seen(self._ask, "/api/v1/persistentvolumes")
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
            yield self._problem("storage_class", what, "a class with a provisioner", name)

    def _node_ports(self) -> Iterator[Problem]:
        wanted = {
            port["nodePort"]
            for each in self._of("Service")
            for port in each["spec"].get("ports", ())
            if "nodePort" in port
        }
        for live in self._items("/api/v1/services") if wanted else ():
            names = live["metadata"]
            if names["namespace"] == self._namespace and self._ours(live):
                continue
            for port in live["spec"].get("ports") or ():
                if port.get("nodePort") in wanted:
                    what = (
                        f"NodePort {port['nodePort']} is taken by Service {names['name']} of "
                        f"namespace {names['namespace']}"
                    )
                    yield self._settings.problem(("ports",), what)


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


def _listed(verbs: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{', '.join(each)} {name}" for name, each in verbs.items())


def _group(version: str) -> str:
    return version.rpartition("/")[0]


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
