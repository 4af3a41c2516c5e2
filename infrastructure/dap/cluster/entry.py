"""How the entry is reached from outside: by its own Service, or by an Ingress and a Service."""

from __future__ import annotations

from typing import Any

from dap.cluster.model import Manifest
from dap.cluster.source import Part, Source


def published(part: Part) -> list[int]:
    """Return the ports that a part publishes; only the entry has any."""
    return [int(each["published"]) for each in part.keys.get("ports") or ()]


def service_type(source: Source) -> str:
    """Return the type of the entry's Service.

    Behind an Ingress it has no ports of nodes: its pages' are the Ingress's, and what is no page
    has a Service of its own.
    """
    kind = source.cluster.service
    return "ClusterIP" if source.cluster.ingress_class and kind == "NodePort" else kind


def beside(source: Source, part: Part) -> list[Manifest]:
    """Return what leads to a part beside its Service: nothing but for the entry with an Ingress.

    Raises:
        InputError: another part has the name that is needed.
    """
    ports = published(part)
    if not ports or source.cluster.ingress_class is None:
        return []
    made = [_ingress(source, part)]
    pages = (source.settings.ports.http, source.settings.ports.https)
    streams = [port for port in ports if port not in pages]
    if source.cluster.service == "NodePort" and streams:
        name = f"{part.name}-streams"
        if name in source.by_name:
            raise source.by_name[name].refusal(
                "x-dap", "its name is needed for the entry's streams"
            )
        listed = [
            {"name": f"tcp-{port}", "port": port, "targetPort": port, "nodePort": port}
            | {"protocol": "TCP"}
            for port in streams
        ]
        spec: dict[str, Any] = {
            "type": "NodePort",
            "selector": source.selector(part),
            "ports": listed,
        }
        made.append(source.manifest("Service", name, part, spec=spec))
    return made


def _ingress(source: Source, part: Part) -> Manifest:
    """Return the Ingress of all pages; TLS ends at the entry, which knows whose page it is."""
    port = {"number": source.settings.ports.https}
    backend = {"service": {"name": part.name, "port": port}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [
        {"host": host, "http": {"paths": paths}}
        for host in sorted({route.hostname for route in source.plan.routes})
    ]
    spec = {"ingressClassName": source.cluster.ingress_class, "rules": rules}
    manifest = source.manifest("Ingress", part.name, part, spec=spec)
    manifest["metadata"]["annotations"] = dict(source.cluster.ingress_annotations)
    return manifest
