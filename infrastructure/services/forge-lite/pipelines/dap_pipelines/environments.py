"""The images of environments that a pipeline's jobs run in, and what those get that build them.

The first project's repository is the platform's own: it holds `environments/`. There the commit's
environments/lock.yml says which images its jobs run in, and pipelines of `main` may build new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess

import yaml

from dap_pipelines.engine import Engine, EngineError
from dap_pipelines.policy import Builder
from dap_pipelines.state import Pipeline
from dap_pipelines.values import GIT_GROUP, REPOSITORIES, Given, Host, Values

LOCK = "environments/lock.yml"
LOCK_BYTES = 1024 * 1024
BUILDER = "image-builder"
BASE_IMAGES = ("base", "builder")
IMAGE = re.compile(r"environments/([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)@sha256:[0-9a-f]{64}")


class LockError(Exception):
    """The commit's lock file can't be used; the message says why."""


def is_platforms(pipeline: Pipeline, values: Values) -> bool:
    """Return whether a pipeline is one of the repository that holds the environments."""
    return pipeline.project == values.projects[0]


def may_build(pipeline: Pipeline, values: Values) -> bool:
    """Return whether a pipeline's jobs may build environments: those of a push to `main` there."""
    pushed = pipeline.ref == "refs/heads/main" and not pipeline.job
    return pushed and is_platforms(pipeline, values)


async def resolved(images: dict[str, str], repositories: str) -> dict[str, str]:
    """Return images of this host as they can't move, less those that are not there."""

    async def one(name: str, image: str) -> tuple[str, str] | None:
        with contextlib.suppress(EngineError):
            return name, await engine.resolve(image, f"{repositories}/{name}")
        return None

    engine = Engine()
    found = await asyncio.gather(*(one(*item) for item in images.items()))
    return dict(filter(None, found))


async def deployed(values: Values, given: Given) -> dict[str, str]:
    """Return the image of each environment that the last deploy brought, as it can't move."""
    return await resolved(given.environments, f"{values.registry}/environments")


def locked(pipeline: Pipeline, values: Values, uid: int) -> dict[str, str]:
    """Return the images that the commit of a pipeline locks, by environment.

    Raises:
        LockError: the file is not what pipelines write.
    """
    if not is_platforms(pipeline, values):
        return {}
    repository = str(REPOSITORIES / f"{pipeline.project}.git")
    shown = subprocess.run(
        ["git", "-C", repository, "show", f"{pipeline.commit}:{LOCK}"],
        user=uid,
        group=uid,
        extra_groups=[GIT_GROUP],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    return read_lock(shown.stdout, values.registry) if shown.returncode == 0 else {}


def read_lock(data: bytes, registry: str) -> dict[str, str]:
    """Return the images that a lock file names, by environment.

    Raises:
        LockError: the file is not what pipelines write.
    """
    if len(data) > LOCK_BYTES:
        raise LockError(f"{LOCK}: larger than {LOCK_BYTES} bytes")
    try:
        entries = yaml.load(data, Loader=yaml.CSafeLoader) or {}
        images = {str(name): str(entry["image"]) for name, entry in entries.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise LockError(f"{LOCK}: not what a pipeline writes: {error}; revert it") from error
    for name, image in images.items():
        found = IMAGE.fullmatch(image)
        if found is None or found[1] != name:
            raise LockError(f"{LOCK}: {name}: image: not environments/{name}@sha256:…; revert it")
    return {name: f"{registry}/{image}" for name, image in images.items()}


def builder(values: Values, images: dict[str, str], host: Host) -> Builder | None:
    """Return whose containers may build images; None where the platform has no such environment.

    Each host keeps the layers of its builds: in a volume that its compose.yml has.
    """
    image = images.get(BUILDER)
    folder = "engine" if host.address else "forge-lite"
    return None if image is None else Builder(image, f"{values.platform}_{folder}-builds")


async def files(values: Values, given: Given, images: dict[str, str]) -> dict[str, str]:
    """Return the files of a job that builds environments, by the variable that points to each.

    `images` are those that the last deploy brought. DAP_IMAGES tells what images there are and what
    each is made of; DAP_LOCK_KEY is the key of the account that may commit the lock file.
    """
    known = given.base_images
    base = known | await resolved({name: known[name] for name in BASE_IMAGES}, values.registry)
    environments = {
        name: {"content": given.contents[name], "image": image} for name, image in images.items()
    }
    return {
        "DAP_IMAGES": json.dumps(
            {**base, "registry": values.registry, "environments": environments}
        ),
        "DAP_LOCK_KEY": given.lock["key"],
        "DAP_LOCK_KNOWN_HOSTS": given.lock["known_hosts"],
    }
