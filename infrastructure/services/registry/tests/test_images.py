"""The registry has the environments that jobs run in, and clusters only read it."""

from __future__ import annotations

import pytest
import requests
from acceptance import Deployed, expect_none
from dap.registry import MANIFESTS


def test_environments_are_there(platform: Deployed, web: requests.Session) -> None:
    plan, secrets = platform.prepared.plan, platform.prepared.secrets
    if plan.settings.cluster is not None:
        pytest.skip("no job pulls from here: nodes have the images, or cluster.registry has")
    if not (plan.clusters or any(host.runs_jobs for host in platform.hosts)):
        pytest.skip("no jobs run here: slots is 0")
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
            answer = web.head(url, headers={"Accept": MANIFESTS}, timeout=30)
            if not answer.ok:
                problems.append(f"environments/{name}:{tag} answers {answer.status_code}")
    expect_none(problems, "make deploy")


def test_clusters_may_only_pull(platform: Deployed, web: requests.Session) -> None:
    plan, secrets = platform.prepared.plan, platform.prepared.secrets
    clusters = [host.host.name for host in plan.clusters if plan.settings.cluster is None]
    if not clusters:
        pytest.skip("no cluster pulls from here")
    problems = []
    for route in plan.routes:
        if route.registry is None:
            continue
        for cluster in clusters:
            account, secret = route.registry.pull.of(cluster)
            web.auth = (account, secrets[secret])
            for method, path, wanted in (
                ("GET", "/v2/", 200),
                ("POST", "/v2/environments/none/blobs/uploads/", 403),
            ):
                answer = web.request(method, f"{route.url}{path}", timeout=30)
                if answer.status_code != wanted:
                    problems.append(f"{account}: {method} {path} answers {answer.status_code}")
    expect_none(problems, "make deploy")
