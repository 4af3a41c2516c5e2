"""The images: their sizes, and how long the largest takes to be built."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from demo.flow import PLATFORM
from demo.project import ROOT, run
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running
from tests.bench.timing import seconds

ENVIRONMENT = "python"
LARGEST = f"environment-{ENVIRONMENT}"
LARGEST_AT_MOST_MB = 829
TAG = "dap-bench/python"
RUNS = 2  # at most: each leaves a gigabyte in the build cache
# Pure Python that asks for nothing, locked with its hashes for the tools here.
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


def context(platform: Running) -> Path:
    """Copy the environment's build context to where it can be changed."""
    path = PLATFORM.directory / "bench" / "context"
    if path.exists():
        shutil.rmtree(path)
    source = platform.project.path / "environments" / ENVIRONMENT
    shutil.copytree(source, path, ignore=shutil.ignore_patterns("tests"))
    return path


def builder(platform: Running, path: Path) -> Callable[..., float]:
    """Give what builds the environment's image with some options, and times it in seconds."""
    images = platform.images
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
    path = context(platform)
    lock = path / "requirements.lock"
    locked = lock.read_text(encoding="utf-8")
    more = entry((ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8"), DEPENDENCY)
    build = builder(platform, path)
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
        for number in range(min(RUNS, bench.repeats)):
            warm.append(build())
            # Each time another layer, so that none is found in the cache.
            text = f"{locked.rstrip()}\n{more}\n# {stamp} {number}\n"
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
            baseline=baseline,
        ),
    )


def sizes(bench: Bench) -> None:
    """Take the uncompressed size of each image."""
    platform = bench.platform
    for name, reference in sorted(platform.images.items()):
        size = platform.engine.images.get(reference).attrs["Size"] / 1e6
        reach = LARGEST_AT_MOST_MB if name == LARGEST else None
        bench.add(Figure(f"size of {name}", "MB", [size], at_most=reach))


def measure(bench: Bench) -> None:
    """Time builds and take sizes."""
    builds(bench)
    sizes(bench)
