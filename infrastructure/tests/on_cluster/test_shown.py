"""No secret is in what the cluster shows beside Secrets, and no pod may ask the cluster."""

from __future__ import annotations

import json

from acceptance import expect_none
from acceptance.cluster import Cluster
from acceptance.leaks import Leaks

REPLACE = "give the secret a new value with .venv/bin/dap secret NAME, then make deploy"


def test_no_secret_in_objects(host: Cluster, leaks: Leaks) -> None:
    """Of any kind in the namespace but Secret: pods, what they are made from, files, events."""
    texts = (
        (f"{kind} {name}", json.dumps(each, ensure_ascii=False).encode())
        for (_, kind), found in host.kinds.items()
        if kind != "Secret"
        for name, each in found.items()
    )
    expect_none(leaks.where(texts), REPLACE)


def test_no_pod_has_a_token(host: Cluster) -> None:
    """With one, who breaks into a service could ask the cluster's API."""
    problems = []
    for pod in host.everything:
        volumes = pod["spec"].get("volumes") or ()
        sources = [
            source
            for volume in volumes
            for source in (volume, *((volume.get("projected") or {}).get("sources") or ()))
        ]
        if any("serviceAccountToken" in source for source in sources):
            problems.append(f"the pod {pod['metadata']['name']} has a token for the cluster")
    expect_none(problems, "make deploy")
