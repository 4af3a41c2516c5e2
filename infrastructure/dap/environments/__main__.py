"""What a pipeline runs after a push that touches environments: builds, tests, pushes and locks.

Nothing is pushed before all is built and tested, nothing is locked before all is pushed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dap.environments.content import base_content, contents, parent_of, read_folders
from dap.environments.decide import Step, decide, new_lock, wanted
from dap.environments.lock import Locked
from dap.environments.registry import of_job
from dap.environments.repository import Repository, cloned
from dap.environments.store import Store, say
from dap.errors import DapError, InputError
from dap.files import digest_of_files
from dap.registry import Registry

_OCI = "org.opencontainers.image"


@dataclass(frozen=True)
class Deployed:
    """What $DAP_IMAGES says of the platform: its base images, and the environments it has."""

    base: str
    builder: str
    content: str
    environments: dict[str, Locked]


def main() -> int:
    """Entry point; the exit status."""
    try:
        run(Path.cwd())
    except DapError as error:
        print(f"\n{error.message}", flush=True)
        if error.hint:
            print(f"  {error.hint}")
        print(
            "Nothing was moved: jobs and workspaces keep the images they have.\n"
            "Push what mends it; a retry of this pipeline does what was not the commit's fault."
        )
        return error.status
    return 0


def run(root: Path) -> None:
    """Bring the environments of the commit at `root` into the registry and the lock.

    Raises:
        DapError: an environment can't be built, fails its tests, can't be pushed or locked.
    """
    data = json.loads(Path(os.environ["DAP_IMAGES"]).read_text(encoding="utf-8"))
    registry = of_job(data.get("registry") or os.environ["CI_REGISTRY"])
    deployed = read_deployed(data, registry)
    folders = read_folders(root)
    digests = {name: digest_of_files(folder.context) for name, folder in folders.items()}
    parents = {name: folder.parent for name, folder in folders.items()}
    base = base_content(root)
    made_of = contents(base, digests, parents)
    with cloned(os.environ["CI_REPOSITORY_URL"], os.environ["CI_COMMIT_BRANCH"]) as repository:
        lock = repository.lock()
        earlier = repository.earlier()
        names = wanted(folders, {*deployed.environments, *lock, *named_in_settings(root)})
        before = {
            name: Locked(made_of[name], earlier[name, made_of[name]])
            for name in names
            if (name, made_of[name]) in earlier
        }
        steps = decide(
            folders,
            made_of,
            names,
            [
                ("as locked", lock),
                ("as deployed", deployed.environments),
                ("as locked before", before),
            ],
            registry.has,
        )
        for step in steps:
            say(f"environments/{step.name} {step.content}: {step.why}")
        if others := sorted(folders.keys() - names):
            say(f"not offered (`environments` in platform.yml): {', '.join(others)}")
        images = {step.name: Locked(step.content, step.image) for step in steps if step.image}
        due = [step for step in steps if step.image is None]
        if due:
            if deployed.content != base:
                raise DapError(
                    "infrastructure/base is not what the platform was deployed from, "
                    "and every environment starts from it",
                    "deploy this commit (git pull, make deploy), then retry this pipeline",
                )
            images |= build(root, registry, deployed, steps)
        lock_images(repository, new_lock(lock, deployed.environments, images, folders), due)


def read_deployed(data: Mapping[str, Any], registry: Registry) -> Deployed:
    """Return what $DAP_IMAGES says; an image that the registry does not have is left out.

    Raises:
        DapError: the registry does not answer.
    """
    start = f"{registry.host}/"
    environments = {}
    for name, entry in data["environments"].items():
        if not entry["image"].startswith(start):
            continue
        image = entry["image"].removeprefix(start)
        if "@" not in image:
            # Some forges know the tag that a deploy gave it.
            path, _, tag = image.rpartition(":")
            image = f"{path}@{registry.digest(path, tag)}"
        if not image.endswith("@"):
            environments[name] = Locked(entry["content"], image)
    return Deployed(data["base"], data["builder"], data["content"], environments)


def named_in_settings(root: Path) -> set[str]:
    """Return the environments that the commit's platform.yml offers to jobs and workspaces.

    Raises:
        InputError: it is no mapping of keys.
    """
    path = root / "platform.yml"
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        named = {str(name) for name in settings.get("environments") or []}
        return named | {str(each["environment"]) for each in settings.get("workspaces") or []}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"platform.yml: {error}", "`make validate` says more") from error


def build(
    root: Path, registry: Registry, deployed: Deployed, steps: list[Step]
) -> dict[str, Locked]:
    """Build and test what is due, then push all of it; return the images.

    Raises:
        DapError: something of it fails; nothing is pushed then, or nothing more.
    """
    store = Store(root, deployed.base, deployed.builder)
    sources: dict[str, str] = {}
    built: dict[str, str] = {}
    with store.held():
        for step in steps:
            if step.image:
                sources[step.name] = f"docker-image://{registry.host}/{step.image}"
                continue
            say(f"building environments/{step.name}")
            parent = parent_of(step.name, step.folder.parent)
            source = f"docker-image://{deployed.base}" if parent is None else sources[parent]
            labels = {
                f"{_OCI}.title": f"environments/{step.name}",
                f"{_OCI}.version": step.content,
                f"{_OCI}.revision": os.environ["CI_COMMIT_SHA"],
            }
            image = store.build(step.folder, source, labels)
            say(f"testing environments/{step.name}")
            store.test(step.folder, image)
            built[step.name] = image
            sources[step.name] = f"container-image://{image}"
        images = {}
        for step in steps:
            if step.name in built:
                name = f"environments/{step.name}"
                say(f"pushing {name}:{step.content}")
                digest = store.push(built[step.name], f"{registry.host}/{name}:{step.content}")
                images[step.name] = Locked(step.content, f"{name}@{digest}")
    return images


def lock_images(repository: Repository, lock: dict[str, Locked], due: list[Step]) -> None:
    """Commit the lock, if it is another than before, and say so.

    Raises:
        DapError: the forge refuses.
    """
    before = repository.lock()
    if lock == before:
        say("nothing to build, nothing to move")
        return
    changes = {
        name: lock.get(name) for name in {*lock, *before} if lock.get(name) != before.get(name)
    }
    names = ", ".join(sorted(changes))
    lines = [
        f"{name}: {entry.image if entry else 'no image'}" for name, entry in sorted(changes.items())
    ]
    made = "Built, tested and pushed" if due else "Images that were there already, chosen"
    source = f"{made} by {os.environ['CI_PIPELINE_URL']}\nfor {os.environ['CI_COMMIT_SHA']}."
    message = "\n".join([f"Lock environments: {names}", "", source, "", *lines])
    commit = repository.lock_images(changes, message)
    if not commit:
        say("the branch moved on meanwhile: its own pipeline locks what it holds")
        return
    for line in lines:
        say(line)
    if "DAP_LOCK_KEY" in os.environ:
        say(f"jobs of this repository run in them from commit {commit[:12]} on;")
        say("workspaces after the next deploy (git pull, make deploy); git revert moves back")
    else:
        say("jobs and workspaces run in them after the next deploy (git pull, make deploy);")
        say("git revert moves back")


if __name__ == "__main__":
    sys.exit(main())
