"""The images that a fleet's service host finds at its first deploy: all that it would build.

Building them takes longer than a test may. So a volume is kept with an engine's files of them, as
that engine loaded them from `docker save` of this machine's; a host starts with these files in
/var/lib/docker. Its deploy finds the content tags and builds nothing. Layers are not written once
they are there, so the host's are hard links, which take no space; the index is a copy.
Runner hosts get nothing: their images come through the platform's registry.
"""

from __future__ import annotations

import fcntl
import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from demo.access import await_result
from demo.project import run
from tests.fleet import image
from tests.fleet.hosts import LABEL, VALUE
from tests.unit.engine.modules import load

VOLUME = "dap-fleet-images"
ENGINE = "dap-fleet/engine"
CONTENT = "references"  # a file in the volume: what it holds
REVISION = "0" * 39 + "1"  # what a label of images made here says, which is no part of their tags
DOCKERFILE = """\
ARG HOST
FROM $HOST
COPY . /etc/apt/
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install \\
    --no-install-recommends {packages} && apt-get clean
CMD ["dockerd", "--storage-driver=overlay2", "--bridge=none", "--iptables=false"]
"""
COPY = """\
set -eu
cd "/volumes/$1/_data"
cp -al overlay2 "/volumes/$2/_data/"
cp -a image "/volumes/$2/_data/"
"""
# What an engine writes beside images; that of the host begins anew.
REST = """\
set -eu
find /there -mindepth 1 -maxdepth 1 ! -name overlay2 ! -name image -exec rm -rf {} +
"""


def references(tree: Path) -> list[str]:
    """References of the images that a rendered tree builds."""
    described = json.loads((tree / "docker-bake.json").read_text(encoding="utf-8"))["target"]
    return sorted(tag for target in described.values() for tag in target["tags"])


def build(tree: Path) -> None:
    """Have the images of a rendered tree on this machine's engine, as a deploy would."""
    module = load("dap_images")
    described = json.loads((tree / "docker-bake.json").read_text(encoding="utf-8"))["target"]
    given = {
        "targets": {name: target["tags"] for name, target in described.items()},
        "upstream": [],
        "base": "debian:trixie-slim",
        "packages": {},
        "extra_ca": {},
        "revision": REVISION,
        "locked": {},
        "shipped": [],
    }
    need = module.needed(given)
    if need["build"]:
        module.build(tree, given, need)


def seed(volume: str, tree: Path, more: Sequence[str] = ()) -> None:
    """Put the images of a rendered tree into the empty volume of a host's engine.

    Args:
        volume: which one.
        tree: the rendered tree.
        more: images of this machine's engine that the host has beside them.

    Raises:
        subprocess.CalledProcessError: an image can't be built or loaded.
    """
    wanted = references(tree)
    client = docker.from_env()
    with one_at_a_time():
        # What other tests need beside may stay.
        if not set(wanted) <= set(kept(client)):
            build(tree)
            fill(client, wanted)
        copy(client, VOLUME, volume)
        if more:
            with running(client, volume) as engine_there:
                transfer(engine_there, more)
            small(client, REST, volumes={volume: {"bind": "/there"}})


def copy(client: docker.DockerClient, source: str, target: str) -> None:
    """Give a volume the images of another one; layers are the same files."""
    volumes = Path(client.volumes.get(source).attrs["Mountpoint"]).parent.parent
    small(client, COPY, source, target, volumes={str(volumes): {"bind": "/volumes"}})


def kept(client: docker.DockerClient) -> list[str]:
    """What the kept volume holds."""
    script = f"if [ -f /kept/{CONTENT} ]; then cat /kept/{CONTENT}; fi"
    return small(client, script, volumes={VOLUME: {"bind": "/kept"}}).split()


def small(client: docker.DockerClient, script: str, *arguments: str, **options: Any) -> str:
    """Run a script in a container of its own; what it printed."""
    command = ["sh", "-c", script, "sh", *arguments]
    output = client.containers.run(
        image.reference(), command, labels={LABEL: VALUE}, remove=True, **options
    )
    assert isinstance(output, bytes)
    return output.decode()


def fill(client: docker.DockerClient, wanted: list[str]) -> None:
    """Have just these images in the kept volume, by an engine of its own."""
    with running(client, VOLUME) as seeder:
        inside(seeder, f"rm -f /var/lib/docker/{CONTENT}")
        there = set(inside(seeder, "docker image ls --format '{{.Repository}}:{{.Tag}}'").split())
        for old in sorted(there - set(wanted)):
            inside(seeder, f"docker image rm {shlex.quote(old)}")
        transfer(seeder, [name for name in wanted if name not in there])
        inside(seeder, f"echo {shlex.join(wanted)} > /var/lib/docker/{CONTENT}")


@contextmanager
def running(client: docker.DockerClient, volume: str) -> Iterator[Container]:
    """Run an engine on a volume; it has ended in order at the end."""
    seeder = client.containers.run(
        engine(client),
        name=f"{VOLUME}-seeder",
        detach=True,
        privileged=True,
        network_mode="none",
        volumes={volume: {"bind": "/var/lib/docker"}},
        tmpfs={"/run": ""},
        labels={LABEL: VALUE},
    )
    try:
        await_result(
            "the engine that loads images",
            lambda: seeder.exec_run(["docker", "version"])[0] == 0 or None,
            60,
        )
        yield seeder
        seeder.stop(timeout=60)
    finally:
        seeder.remove(force=True)


def inside(seeder: Container, command: str) -> str:
    """Run a command beside an engine; what it printed."""
    return run("docker", "exec", str(seeder.id), "sh", "-c", command)


def transfer(seeder: Container, names: Sequence[str]) -> None:
    """Give an engine images of this machine's."""
    if names:
        copied = f"docker save {shlex.join(names)} | docker exec -i {seeder.id} docker load"
        subprocess.run(["bash", "-o", "pipefail", "-c", copied], check=True, capture_output=True)


def engine(client: docker.DockerClient) -> str:
    """Image of a host with the engine that a deploy installs; made if it is not there."""
    module = load("dap_engine")
    start = image.reference()
    name = f"{ENGINE}:{start.rpartition(':')[2]}"
    if client.images.list(name):
        return name
    newer = load("dap_machine", "module_utils").apt_sources("")[0].deb822()
    text = DOCKERFILE.format(packages=" ".join(module.DISTRIBUTION["debian"]))
    with tempfile.TemporaryDirectory() as folder:
        for place, content in {
            "sources.list.d/trixie.sources": newer,
            "preferences.d/docker": module.PREFERENCES,
        }.items():
            path = Path(folder, place)
            path.parent.mkdir()
            path.write_text(content, encoding="utf-8")
        image.build(folder, name, text, HOST=start)
    return name


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep others away from the kept volume."""
    path = Path(tempfile.gettempdir(), f"{VOLUME}.lock")
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def remove() -> None:
    """Remove the kept volume."""
    for volume in docker.from_env().volumes.list(filters={"name": f"^{VOLUME}$"}):
        volume.remove()
