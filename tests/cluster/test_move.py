"""The volumes of a Docker host come to a cluster by what doc/kubernetes-setup.md has one type."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from dap.catalogue import read_catalogue
from dap.plan.images import Images
from dap.settings import Settings

from demo.access import await_result
from tests.cluster import image
from tests.cluster.space import Space, template
from tests.paths import ROOT
from tests.tools.pages import page_blocks

PAGE = ROOT / "doc" / "kubernetes-setup.md"
USER = 11002
OTHER = 11006
CLAIM = "store-data"
MAKE = f"""\
cd /to && mkdir -p deep/er && echo first > deep/er/one && ln -s one deep/er/two
head -c 3000000 /dev/urandom > large && chmod 0640 large && echo '-x' > './-name with space'
touch -d 2020-02-02T02:02:02Z deep/er/one && chmod 0700 deep && chown -Rh {USER}:{USER} .
"""
SUM = "cd $0 && find . -mindepth 1 -type f | sort | xargs -d '\\n' sha256sum"


@pytest.fixture
def base() -> str:
    """The platform's base image, on this machine."""
    image.have("busybox")
    return Images(Settings(), read_catalogue(ROOT)).base.reference


@pytest.fixture
def volume(base: str) -> Iterator[str]:
    """A volume of a platform on a Docker host; what its platform is called."""
    client = docker.from_env()
    name = f"move{os.getpid()}"
    made = client.volumes.create(f"{name}_{CLAIM}", labels={"dap.test": "move"})
    mount = {made.name: {"bind": "/to", "mode": "rw"}}
    client.containers.run(base, ["bash", "-c", MAKE], volumes=mount, user="0:0", remove=True)
    yield name
    made.remove()


def stateful(name: str, user: int, claim: str) -> dict[str, Any]:
    """A service with a volume, as a platform's are; it has made files of its own already."""
    script = "test -e /data/deep || echo mine > /data/empty; sleep 86400"
    spec: dict[str, Any] = template(name, script)
    ids = {"runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": True}
    spec["securityContext"] = {**ids, "seccompProfile": {"type": "RuntimeDefault"}}
    spec["terminationGracePeriodSeconds"] = 0
    mount = {"name": "data", "mountPath": "/data", "subPath": "data"}
    spec["containers"][0]["volumeMounts"] = [mount]
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def claimed(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def ready(space: Space, name: str) -> None:
    def pods() -> bool | None:
        status = space.get("statefulset", name)["status"]
        return status.get("readyReplicas", 0) == 1 or None

    await_result(f"{name} is ready", pods, 120)


def test_each_volume_has_the_files_of_its_own_and_others_stay(
    space: Space, volume: str, base: str, tmp_path: Path
) -> None:
    (block,) = (each for each in page_blocks(PAGE) if each.value == "tests/cluster/test_move.py")
    services = (("store", USER, CLAIM), ("new", OTHER, "new-data"))
    for name, user, claim in services:
        space.apply(claimed(claim), stateful(name, user, claim))
    for name, *_ in services:
        ready(space, name)
    kubectl = image.tool("kubectl")
    environment = {
        **os.environ,
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(space.cluster.kubeconfig),
        "space": space.name,
        "name": volume,
        "base": base,
        "image": image.references()["busybox"],
    }
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", block.text],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name, *_ in services:
        ready(space, name)

    def inside(pod: str, script: str) -> str:
        return space.kubectl("exec", f"{pod}-0", "--", "sh", "-c", script)

    client = docker.from_env()
    mount = {f"{volume}_{CLAIM}": {"bind": "/from", "mode": "ro"}}
    before = client.containers.run(base, ["bash", "-c", SUM, "/from"], volumes=mount, remove=True)
    found = inside("store", "cd /data && find . -mindepth 1 -type f -exec sha256sum '{}' ';'")
    assert sorted(found.splitlines()) == sorted(before.decode().splitlines())
    assert len(found.splitlines()) == 3, "and what the service had made is gone"
    assert inside("store", "readlink /data/deep/er/two").strip() == "one"
    said = inside("store", "cd /data && stat -c '%a %u:%g %n' large deep && stat -c %Y deep/er/one")
    large, deep, then = said.splitlines()
    assert large == f"640 {USER}:{USER} large"
    # The claim's own folder has the bit by which what is made below is the group's.
    assert deep.removeprefix("2") == f"700 {USER}:{USER} deep"
    assert then == "1580608922"
    assert inside("new", "ls /data").split() == ["empty"]
