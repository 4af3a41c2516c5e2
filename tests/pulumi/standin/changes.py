"""What has changed between two objects, and which changes need a new object.

The paths are those of pulumi-kubernetes 4, `provider/pkg/provider/diff.go`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.pulumi.standin.values import Object

ALWAYS = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
ROLE = ("roleRef",)
REPLACED = {
    "ClusterRoleBinding": ROLE,
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolumeClaim": (
        *("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ),
    "ResourceQuota": ("spec.scopes",),
    "RoleBinding": ROLE,
    "Service": ("spec.clusterIP",),
    "StatefulSet": (
        *("spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector"),
        *("spec.serviceName", "spec.volumeClaimTemplates"),
    ),
    "StorageClass": ("parameters", "provisioner"),
}
# Unless the provider is configured to change them in place.
CONTENT = {
    "ConfigMap": ("enableConfigMapMutable", ("data", "binaryData")),
    "Secret": ("enableSecretMutable", ("data", "stringData", "type")),
}


@dataclass(frozen=True)
class Change:
    """A place where two objects differ: `add`, `delete` or `update`."""

    path: str
    kind: str
    replaces: bool


def changes(old: Object, new: Object, configuration: Object) -> list[Change]:
    """Return what is different, in the order of paths.

    Args:
        old: what was asked for before, unwrapped.
        new: what is asked for, unwrapped.
        configuration: of the provider.
    """
    kind = str(new.get("kind"))
    rules = [*ALWAYS, *REPLACED.get(kind, ())]
    if kind in CONTENT:
        switch, paths = CONTENT[kind]
        if str(configuration.get(switch)).lower() != "true" or old.get("immutable"):
            rules += paths
    return [
        Change(path, what, any(path == rule or path.startswith(f"{rule}.") for rule in rules))
        for path, what in sorted(_differences(old, new, ""))
    ]


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            there = f"{path}.{key}" if path else key
            if key not in new:
                yield there, "delete"
            elif key not in old:
                yield there, "add"
            else:
                yield from _differences(old[key], new[key], there)
    elif old != new:
        yield path, "update"
