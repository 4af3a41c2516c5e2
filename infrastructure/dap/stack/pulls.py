"""What helps nodes that can't get an image."""

from __future__ import annotations

from dap.plan import REGISTRY_PASSWORD
from dap.settings import ClusterRegistry

_PULLS = ("ErrImagePull", "ImagePullBackOff")
_REFUSED = ("unauthorized", "denied", "forbidden", "401", "403")


def remedy(registry: ClusterRegistry, why: str) -> str:
    """Return what helps; empty where it is no such thing, or may pass by itself.

    Args:
        registry: of the settings.
        why: what the cluster says of a container that waits.
    """
    if "ErrImageNeverPull" in why:
        return "load the images on the nodes, from `make images SAVE=FILE`; or set cluster.registry"
    host = registry.address.split("/")[0]
    if not host or f"{host}/" not in why or not any(each in why for each in _PULLS):
        return ""
    text = why.lower()
    if "x509" in text:
        return f"have each node trust its CA, in /etc/containerd/certs.d/{host}: doc/kubernetes.md"
    if any(each in text for each in _REFUSED):
        account = registry.user or "nobody (cluster.registry.user is empty)"
        return f"see that {account} may pull there; its password: dap secret {REGISTRY_PASSWORD}"
    if "not found" in text or "manifest unknown" in text:
        return "it went from the registry: deploy again, which pushes it"
    return ""
