"""Images of the tests' Kubernetes, built as a deploy builds a platform's, from the same base."""

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import docker
from dap.catalogue import read_catalogue
from dap.files import digest_of_files, read_files
from dap.plan.images import Images
from dap.settings import Settings

from demo.project import run
from tests.paths import ROOT
from tests.unit.engine.modules import load

CONTEXT = Path(__file__).with_name("image")
# GitLab's runner has a folder of its own: with a change there, Kubernetes is not built anew.
RUNNER = Path(__file__).with_name("runner")
TOOLCHAIN = CONTEXT / "toolchain.lock"
REPOSITORY = "dap-cluster"
LABEL = "dap.cluster.image"
# What pods start from; the rest is for this machine.
FOR_PODS = ("pause", "coredns", "busybox")
TARGETS = (*FOR_PODS, "node", "tools")
RUNNERS = ("gitlab-runner", "gitlab-runner-helper")
REVISION = "0" * 39 + "1"  # what a label of images made here says, which is no part of their tags


@cache
def references() -> dict[str, str]:
    """Content tags of all targets; nothing is made."""
    builder = _images().builder.reference
    runner = [file for file in read_files(RUNNER, RUNNER) if file.path != "README.md"]
    made_of: dict[tuple[str, ...], tuple[object, ...]] = {
        TARGETS: (builder, digest_of_files(read_files(CONTEXT, CONTEXT))),
        RUNNERS: (builder, digest_of_files(runner), TOOLCHAIN.read_bytes()),
    }
    found: dict[str, str] = {}
    for targets, parts in made_of.items():
        tag = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
        found |= {target: f"{REPOSITORY}/{target}:{tag}" for target in targets}
    return found


@cache
def _images() -> Images:
    return Images(Settings(), read_catalogue(ROOT))


def base() -> str:
    """Reference of the platform's base image, which is there once these images are."""
    return _images().base.reference


def have(*targets: str) -> dict[str, str]:
    """References of images; made if they are not there, which takes ten minutes the first time.

    Raises:
        CommandError: one can't be made.
    """
    wanted = {target: references()[target] for target in targets}
    client = docker.from_env()
    missing = [target for target, name in wanted.items() if not client.images.list(name)]
    if missing:
        build(missing)
        running = [container.image for container in client.containers.list(all=True)]
        used = {image.id for image in running if image is not None}
        for image in client.images.list(filters={"label": LABEL}):
            for old in set(image.tags) - set(references().values()):
                if image.id not in used:
                    client.images.remove(old)
    return wanted


def build(targets: list[str]) -> None:
    """Build images of these folders, and what they start from where it is not there."""
    module = load("dap_images")
    images = _images()
    common = {
        "base": f"docker-image://{images.base.reference}",
        "builder": f"docker-image://{images.builder.reference}",
    }
    described = {
        image.name: {
            "context": image.context,
            "target": image.target,
            "contexts": dict(image.contexts),
            "tags": [image.reference],
        }
        for image in (images.base, images.builder)
    }
    for target in targets:
        described[target] = {
            "context": RUNNER.name if target in RUNNERS else CONTEXT.name,
            "target": target,
            "contexts": {**common, "toolchain": CONTEXT.name},
            "tags": [references()[target]],
            "labels": {LABEL: target},
        }
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        (tree / ".build").mkdir()
        shutil.copytree(ROOT / "infrastructure" / "base", tree / "base")
        for place in (CONTEXT, RUNNER):
            shutil.copytree(place, tree / place.name)
        bake = tree / "docker-bake.json"
        bake.write_text(json.dumps({"target": described}), encoding="utf-8")
        given = {
            "targets": {name: target["tags"] for name, target in described.items()},
            "upstream": [],
            "base": Settings().images.base,
            "packages": {},
            "extra_ca": {},
            "revision": REVISION,
            "locked": {},
            "shipped": [],
        }
        module.build(tree, given, module.needed(given))


def tool(name: str) -> Path:
    """A program for this machine: kubectl or pulumi; taken out of its image once."""
    return _tools() / "bin" / name


def openapi() -> Path:
    """Folder with the OpenAPI documents of Kubernetes, one a group and version."""
    return _tools() / "openapi"


def _tools() -> Path:
    reference = have("tools")["tools"]
    place = ROOT / "build" / "cluster-tools" / reference.rpartition(":")[2]
    if not place.exists():
        shutil.rmtree(place.parent, ignore_errors=True)
        place.parent.mkdir(parents=True)
        made = docker.from_env().containers.create(reference, labels={"dap.test": "cluster"})
        try:
            partial = place.with_suffix(".partial")
            run("docker", "cp", f"{made.id}:/", str(partial))
            partial.rename(place)
        finally:
            made.remove()
    return place


def remove() -> None:
    """Remove all images of clusters; what they were built from stays in the builder's cache."""
    client = docker.from_env()
    for found in client.images.list(filters={"label": LABEL}):
        for tag in found.tags:
            client.images.remove(tag)
