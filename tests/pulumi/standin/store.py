"""Where objects are: what a provider needs of an API server, and one that is a dictionary."""

import base64
import copy
import threading
from dataclasses import dataclass
from typing import Protocol

from tests.pulumi.standin.values import Object

WITHOUT_NAMESPACE = {
    *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "IngressClass", "Namespace"),
    *("PersistentVolume", "PriorityClass", "RuntimeClass", "StorageClass"),
}


@dataclass(frozen=True)
class How:
    """The way an object is applied.

    Attributes:
        manager: owner of its fields.
        force: take fields away from other owners.
        new: it is made, not changed.
        upsert: it may be there already.
        dry: only ask whether the server would.
        awaited: wait until it is ready.
        timeout_s: for how long, in seconds.
    """

    manager: str
    force: bool = False
    new: bool = False
    upsert: bool = False
    dry: bool = False
    awaited: bool = True
    timeout_s: float = 300

    @property
    def exclusive(self) -> bool:
        """Whether it must not be there yet; a preview can't tell, for it removes nothing."""
        return self.new and not self.upsert and not self.dry


class RefusedError(Exception):
    """The API server did not do it."""


class UnfinishedError(Exception):
    """The object is there and did not become ready in time."""

    def __init__(self, live: Object, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.live, self.reasons = live, reasons


class Store(Protocol):
    """Objects of a cluster."""

    def namespaced(self, thing: Object) -> bool:
        """Whether objects of its kind lie in namespaces."""

    def get(self, thing: Object) -> Object | None:
        """The object as it is now.

        Args:
            thing: its kind and names.
        """

    def apply(self, thing: Object, how: How) -> Object:
        """Make or change an object by server-side apply, and await that it is ready.

        Raises:
            RefusedError: the server refuses it.
            UnfinishedError: it is not ready in time.
        """

    def delete(self, thing: Object) -> None:
        """Remove an object, and await that it is gone; one that is not there is."""


def key_of(thing: Object) -> tuple[str, str, str, str]:
    """What an object is known by."""
    names = thing["metadata"]
    group = thing["apiVersion"].rpartition("/")[0]
    return group, thing["kind"], names.get("namespace", ""), names["name"]


class Memory:
    """A cluster that keeps objects, does nothing with them, and refuses what a test tells it to.

    As an API server it looks up the role of a binding, whose maker may not give everything.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str, str], Object] = {}
        self.calls: list[tuple[str, str]] = []  # what was done, with its object's name
        self.refuses: set[str] = set()  # names of objects
        self._lock = threading.Lock()

    def namespaced(self, thing: Object) -> bool:
        """Whether objects of its kind lie in namespaces."""
        return thing["kind"] not in WITHOUT_NAMESPACE

    def get(self, thing: Object) -> Object | None:
        """The object as it is now."""
        with self._lock:
            return copy.deepcopy(self.objects.get(key_of(thing)))

    def apply(self, thing: Object, how: How) -> Object:
        """Keep an object."""
        name = thing["metadata"]["name"]
        if name in self.refuses:
            raise RefusedError(f"{name} is refused")
        if how.exclusive and self.get(thing):
            raise RefusedError(f"{name} already exists")
        if thing["kind"] == "RoleBinding" and not how.dry and not self._gives(thing):
            role = thing["roleRef"]["name"]
            raise RefusedError(f'roles.rbac.authorization.k8s.io "{role}" not found')
        live = copy.deepcopy(thing)
        for key, text in live.pop("stringData", {}).items():
            live.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
        if not how.dry:
            with self._lock:
                self.objects[key_of(thing)] = live
                self.calls.append(("apply", name))
        return live

    def _gives(self, binding: Object) -> bool:
        group, _, space, _ = key_of(binding)
        role = binding["roleRef"]
        with self._lock:
            return (group, role["kind"], space, role["name"]) in self.objects

    def delete(self, thing: Object) -> None:
        """Forget an object."""
        with self._lock:
            self.objects.pop(key_of(thing), None)
            self.calls.append(("delete", thing["metadata"]["name"]))
