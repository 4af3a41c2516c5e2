"""The registry has the environments that jobs run in."""

from __future__ import annotations

import pytest
import requests
from acceptance import Deployed, expect_none

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def test_environments_are_there(platform: Deployed, web: requests.Session) -> None:
    if not any(host.view.runs_jobs for host in platform.hosts):
        pytest.skip("no jobs run here: slots is 0")
    plan, secrets = platform.prepared.plan, platform.prepared.secrets
    problems = []
    for route in plan.routes:
        if route.registry is None:
            continue
        web.auth = (route.registry.username, secrets[route.registry.secret])
        for name, image in plan.images.environments.items():
            if plan.images.overridden(image):
                continue
            tag = image.reference.rpartition(":")[2]
            url = f"{route.url}/v2/environments/{name}/manifests/{tag}"
            answer = web.head(url, headers={"Accept": ", ".join(MANIFESTS)}, timeout=30)
            if not answer.ok:
                problems.append(f"environments/{name}:{tag} answers {answer.status_code}")
    expect_none(problems, "make deploy")
