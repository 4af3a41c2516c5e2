"""The images: their sizes, and how long the largest takes to be built."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import yaml

from demo.flow import PLATFORM
from demo.project import ROOT, run
from tests import environments
from tests.bench.bench import Bench
from tests.bench.cache import restored
from tests.bench.figure import Baseline, Figure
from tests.bench.running import OWN, Running
from tests.bench.timing import interleave, seconds

ENVIRONMENT = "python"
LARGEST = f"environment-{ENVIRONMENT}"
# Uncompressed sizes of jupyter/docker-stacks in MB: of the image that an environment is nearest to.
STACKS = {
    "environment-base": ("docker-stacks' base-notebook", 829),
    LARGEST: ("docker-stacks' scipy-notebook", 2770),
    "environment-r": ("docker-stacks' minimal-notebook, which has no R", 1300),
}
LARGEST_AT_MOST_MB = 829
CHANGED_AT_MOST_S = 10
EXTRA = ("r", "python-cuda")
TAG = "dap-bench/python"
RUNS = 2  # at most: each takes a gigabyte of the disk until the end
# Pure Python that asks for nothing, locked with its hashes for the tools here. It comes into the
# largest of the layers for what no layer names.
DEPENDENCY = "pathspec"


def entry(lock: str, package: str) -> str:
    """The lines of one package in a lock file, with its hashes.

    Raises:
        ValueError: it is not there.
    """
    found = re.search(rf"^{re.escape(package)}==.*(?:\n[ \t]+.*)*", lock, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"no {package} in the lock file")
    return found[0].rstrip(" \\")


def empty(name: str) -> Path:
    """Make an empty folder."""
    path = PLATFORM.directory / "bench" / name
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def context(platform: Running, environment: str) -> Path:
    """Copy an environment's build context to where it can be changed."""
    path = empty("context") / environment
    source = platform.project.path / "environments" / environment
    shutil.copytree(source, path, ignore=shutil.ignore_patterns("tests"))
    return path


def builder(images: Mapping[str, str], path: Path) -> Callable[..., float]:
    """Give what builds an environment's image with some options, and times it in seconds."""
    parent = yaml.safe_load((path / "environment.yml").read_text(encoding="utf-8"))["parent"]
    contexts = {
        "base": images["base"],
        "builder": images["builder"],
        "parent": images[f"environment-{parent}"],
    }
    named = [f"--build-context={name}=docker-image://{ref}" for name, ref in contexts.items()]
    command = ["docker", "buildx", "build", "--load", f"--tag={TAG}", *named]
    return lambda *options: seconds(lambda: run(*command, *options, str(path)))


def builds(bench: Bench) -> None:
    """Time builds of the environment: cold, with nothing changed, with one dependency more."""
    platform = bench.platform
    path = context(platform, ENVIRONMENT)
    lock = path / "requirements.lock"
    locked = lock.read_text(encoding="utf-8")
    more = entry((ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8"), DEPENDENCY)
    build = builder(platform.images, path)
    if f"\n{DEPENDENCY}==" in locked:
        raise RuntimeError(f"{DEPENDENCY} is in the environment already: choose another to add")
    # A namespace of its own has no package files in its cache yet; others' caches stay as they are.
    stamp = str(int(time.time()))
    cold_options = ("--no-cache", f"--build-arg=BUILDKIT_CACHE_MOUNT_NS=bench-{stamp}")
    try:
        build()
        cold: list[float] = []
        warm: list[float] = []
        changed: list[float] = []
        for _ in range(min(RUNS, bench.repeats)):
            warm.append(build())
            # One hash more, of nothing: so it is in no cache, whatever was measured before.
            text = f"{locked.rstrip()}\n{more} \\\n    --hash=sha256:{secrets.token_hex(32)}\n"
            lock.write_text(text, encoding="utf-8")
            changed.append(build())
            lock.write_text(locked, encoding="utf-8")
            if not cold:
                cold.append(build(*cold_options))
    finally:
        run("docker", "image", "rm", "--force", TAG)
    note = "no layer cached, every package fetched anew"
    baseline = Baseline("cold", cold)
    what = f"build of {LARGEST}"
    bench.add(
        Figure(f"{what}, cold", "s", cold, note),
        Figure(f"{what}, nothing changed", "s", warm, "every layer cached", baseline=baseline),
        Figure(
            *(f"{what}, one dependency more", "s", changed),
            f"{DEPENDENCY} added to requirements.lock; package files come from uv's cache",
            at_most=CHANGED_AT_MOST_S,
            baseline=baseline,
        ),
    )


def installers(bench: Bench) -> None:
    """Time uv against pip: the lock of the environment, from an empty cache and from a full one."""
    platform = bench.platform
    lock = platform.project.path / "environments" / ENVIRONMENT / "requirements.lock"
    options = "--no-deps --require-hashes --only-binary :all: --quiet --requirement /lock"
    installs = {
        "uv": f"UV_COMPILE_BYTECODE=0 uv pip install --python /v/bin/python {options}",
        "pip": f"/v/bin/pip install --no-compile {options}",
    }
    script = """
        set -eu
        now() { date +%s.%N; }
        for cache in cold warm; do
            rm -rf /v && python3 -m venv /v
            start=$(now); COMMAND; echo "$(now) - $start" | awk '{print $1 - $3}'
        done
    """

    def timed(command: str) -> list[float]:
        said = platform.engine.containers.run(
            platform.images["builder"],
            ["sh", "-c", script.replace("COMMAND", command)],
            remove=True,
            labels=OWN,
            volumes={str(lock): {"bind": "/lock", "mode": "ro"}},
        )
        return [float(line) for line in said.split()]

    values: dict[str, list[list[float]]] = {name: [] for name in installs}
    for _ in range(min(RUNS, bench.repeats)):
        for name, command in installs.items():
            values[name].append(timed(command))
    for number, kind in enumerate(("empty", "full")):
        uv, pip = ([run[number] for run in values[name]] for name in ("uv", "pip"))
        what = f"{LARGEST}'s packages installed by uv, its cache {kind}"
        note = "into a new virtual environment, no bytecode; not a build"
        bench.add(Figure(what, "s", uv, note, baseline=Baseline("pip", pip)))


def extra(bench: Bench) -> dict[str, str]:
    """Time builds of environments that no default deploy has; return their images."""
    platform = bench.platform
    images = environments.build(platform.project, EXTRA, empty("extra"))
    parents = {**platform.images, **{f"environment-{name}": ref for name, ref in images.items()}}
    stamp = str(int(time.time()))
    for name in EXTRA:
        build = builder(parents, context(platform, name))
        try:
            cold = build("--no-cache", f"--build-arg=BUILDKIT_CACHE_MOUNT_NS=bench-{stamp}")
            warm = build()
        finally:
            run("docker", "image", "rm", "--force", TAG)
        what = f"build of environment-{name}"
        note = "no layer cached, every package fetched anew"
        bench.add(
            Figure(f"{what}, cold", "s", [cold], note),
            Figure(f"{what}, nothing changed", "s", [warm], baseline=Baseline("cold", [cold])),
        )
    return {f"environment-{name}": images[name] for name in EXTRA}


def starts(bench: Bench, images: Mapping[str, str]) -> None:
    """Time a container of the CUDA image, from its creation to its end, against `base`."""
    start = ("docker", "run", "--rm", "--label", "dap.bench=true", "--entrypoint", "true")
    images = {"base": bench.platform.images["environment-base"], **images}
    ways = {
        name: partial(seconds, partial(run, *start, image))
        for name, image in (("base", images["base"]), ("cuda", images["environment-python-cuda"]))
    }
    for way in ways.values():
        way()
    values = interleave(bench.rounds, ways)
    bench.add(
        Figure(
            "start and end of a container of environment-python-cuda",
            "s",
            values["cuda"],
            "the image is present; what a job has on top does not hang on its image",
            baseline=Baseline("environment-base", values["base"]),
        )
    )


def sizes(bench: Bench, extra_images: Mapping[str, str]) -> None:
    """Take the uncompressed size of each image."""
    platform = bench.platform
    for name, reference in sorted({**platform.images, **extra_images}.items()):
        size = platform.engine.images.get(reference).attrs["Size"] / 1e6
        reach = LARGEST_AT_MOST_MB if name == LARGEST else None
        stack = STACKS.get(name)
        baseline = Baseline(stack[0], [stack[1]]) if stack else None
        bench.add(Figure(f"size of {name}", "MB", [size], at_most=reach, baseline=baseline))


def measure(bench: Bench) -> None:
    """Time builds and take sizes."""
    with restored():
        builds(bench)
        installers(bench)
        images = extra(bench)
        starts(bench, images)
        sizes(bench, images)
