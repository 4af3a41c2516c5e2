"""`make demo` on a machine that has nothing yet."""

import os
import shutil
import subprocess

import docker

from demo.project import ROOT, clean_environment, run
from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.timing import seconds

AT_MOST_S = 480


def make(target: str) -> None:
    """Run a target of the distribution with its output shown."""
    subprocess.run(
        ["make", "--no-print-directory", target], cwd=ROOT, check=True, env=clean_environment()
    )


def own_images(client: docker.DockerClient) -> list[str]:
    """Name the images that platforms built here."""
    return [tag for image in client.images.list() for tag in image.tags if tag.startswith("dap/")]


def measure(bench: Bench) -> None:
    """Time `make demo` with no image there: on a fresh machine, or where removal is asked for."""
    client = docker.from_env() if shutil.which("dockerd") else None
    if os.environ.get("COLD") == "1" and client is not None:
        make("clean")
        for tag in own_images(client):
            client.images.remove(tag, force=True)
        run("docker", "builder", "prune", "--all", "--force")
    if client is not None and own_images(client):
        print("cold demo: not measured, images are there (COLD=1 removes them and the build cache)")
        return
    note = "nothing cached, every image built from packages, the Docker engine installed if missing"
    bench.add(Figure("`make demo`, cold", "s", [seconds(lambda: make("demo"))], note, AT_MOST_S))
