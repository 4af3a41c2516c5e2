"""The platform's registry seen from a host: what it has, and Docker's client logged in to it.

`given` are a module's parameters: registry (host[:port]), username, password, certificate (file of
the registry's CA).
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import CommandError, output, run

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
TIMEOUT_S = 30


class AwayError(Exception):
    """The registry does not answer (yet)."""


def has(given: dict[str, Any], reference: str) -> bool:
    """Ask the registry whether it has an image, by tag or by digest.

    Raises CommandError when it refuses and AwayError when it does not answer.
    """
    image = reference.removeprefix(f"{given['registry']}/")
    name, _, what = image.rpartition("@" if "@" in image else ":")
    login = base64.b64encode(f"{given['username']}:{given['password']}".encode()).decode()
    request = urllib.request.Request(
        f"https://{given['registry']}/v2/{name}/manifests/{what}",
        method="HEAD",
        headers={"Authorization": f"Basic {login}", "Accept": MANIFESTS},
    )
    context = ssl.create_default_context()
    if given["certificate"] and Path(given["certificate"]).exists():
        context.load_verify_locations(given["certificate"])
    # The registry is ours and near: a proxy for the world outside is not asked.
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        kind = AwayError if error.code in (502, 503, 504) else CommandError
        raise kind(f"the registry {given['registry']} answered {error.code}") from error
    except OSError as error:
        raise AwayError(f"the registry {given['registry']}: {error}") from error


@contextmanager
def logged_in(given: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Give the environment of a Docker client whose login leaves no trace. Raises CommandError."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DOCKER_CONFIG": folder}
        login = ["docker", "login", "--username", given["username"], "--password-stdin"]
        output([*login, given["registry"]], stdin=given["password"], env=environment)
        yield environment


def digests(references: list[str]) -> dict[str, list[str]]:
    """Return the digests in registries by which the engine knows each image that is there."""
    if not references:
        return {}
    form = "{{json .RepoTags}} {{json .RepoDigests}}"
    shown = run(["docker", "image", "inspect", "--format", form, *references]).stdout
    known: dict[str, list[str]] = {}
    for line in filter(None, shown.splitlines()):
        tags, end = json.JSONDecoder().raw_decode(line)
        known |= dict.fromkeys(tags or [], json.loads(line[end:]) or [])
    return {reference: known[reference] for reference in references if reference in known}


def published_digests(images: dict[str, str]) -> dict[str, str]:
    """Return the digests by which a registry has images, as far as the engine knows.

    `images`: local reference → reference there; what it never pushed or pulled is left out.
    """
    found = {}
    for local, known in digests([*images]).items():
        name = images[local].rpartition(":")[0]
        mine = [digest for digest in known if digest.partition("@")[0] == name]
        if mine:
            found[local] = mine[0]
    return found
