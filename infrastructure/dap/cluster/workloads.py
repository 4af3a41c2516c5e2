"""What runs pods: StatefulSets, Deployments and Jobs, and what guards them."""

from __future__ import annotations

from typing import Any

from dap.cluster.model import Manifest, PodTemplate
from dap.cluster.source import Part, Source

_KEPT_REVISIONS = 2


def workload(source: Source, part: Part, template: PodTemplate, *, volumes: bool) -> Manifest:
    """Return what runs a part's pods: with volumes a StatefulSet, of which no two ever run at once.

    Raises:
        InputError: several are to share a volume.
    """
    spec: dict[str, Any] = {
        "replicas": part.replicas,
        "revisionHistoryLimit": _KEPT_REVISIONS,
        "selector": {"matchLabels": source.selector(part)},
        "template": template,
    }
    if not volumes:
        # The next one is there before the last one goes.
        spec["strategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }
        return source.manifest("Deployment", part.name, part, spec=spec)
    if part.replicas > 1:
        raise part.refusal("deploy.replicas", "must be 1 for a service with volumes")
    spec |= {
        "serviceName": part.name,
        # Else a pod that never gets ready keeps the template that would mend it from its place.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
    }
    return source.manifest("StatefulSet", part.name, part, spec=spec)


def job(source: Source, part: Part, template: PodTemplate) -> Manifest:
    """Return the Job of a one-shot service, which is tried once: the deploy judges its end."""
    spec = {"backoffLimit": 0, "template": template}
    return source.manifest("Job", part.name, part, spec=spec)


def disruption_budget(source: Source, part: Part) -> Manifest | None:
    """Return the rule that a node is emptied of one pod of a part at a time, if it has several."""
    if part.replicas < 2:
        return None
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": source.selector(part)},
        # One that is not well must not keep a node from being emptied.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return source.manifest("PodDisruptionBudget", part.name, part, spec=spec)
