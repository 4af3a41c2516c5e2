"""No secret is in what Docker shows of containers, nor in what lies beside the secrets."""

from __future__ import annotations

import json

from acceptance import Host, expect_none
from acceptance.hosts import JOB, Container
from acceptance.leaks import Leaks

REPLACE = "give the secret a new value with .venv/bin/dap secret NAME, then make deploy"


def test_no_secret_in_docker_inspect(host: Host, leaks: Leaks) -> None:
    """Of containers, and of the images that were built for them."""
    texts = [
        (f"docker inspect {each['Name'].lstrip('/')}", json.dumps(shown(host, each)).encode())
        for each in host.everything
    ]
    images = sorted({each["Image"] for each in host.everything})
    texts += [
        (f"docker history {image[7:19]}", host.output("docker", "history", "--no-trunc", image))
        for image in images
    ]
    expect_none(leaks.where(texts), REPLACE)


def is_job(host: Host, container: Container) -> bool:
    """Tell whether it is a job of a service that says why jobs have secrets in environments."""
    labels = container["Config"]["Labels"] or {}
    service = labels.get("dap.service", "")
    return JOB in labels and service in host.compose and "environment" in host.exceptions(service)


def shown(host: Host, container: Container) -> Container:
    """Return what `docker inspect` says, without what is excepted of a job."""
    config = container["Config"]
    return {**container, "Config": {**config, "Env": []}} if is_job(host, container) else container


def test_no_secret_in_the_tree(host: Host, leaks: Leaks) -> None:
    """In what lies on the host outside of `secrets/`."""
    texts = (
        (str(host.directory / path), file.content)
        for path, file in host.files_of_tree.items()
        if file.content is not None and not path.startswith("secrets/")
    )
    expect_none(leaks.where(texts), f"make deploy; {REPLACE}")
