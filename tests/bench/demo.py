"""`make demo` with the images there and no platform."""

import shutil

from demo.flow import PLATFORM
from tests.bench.bench import Bench
from tests.bench.cold import make
from tests.bench.figure import Figure
from tests.bench.timing import seconds

RUNS = 2  # at most: each takes a minute and a half
AT_MOST_S = 90


def remove_platform() -> None:
    """Remove the demo's platform with its data, and its project."""
    if (PLATFORM.path / "platform.yml").exists():
        PLATFORM.make("destroy", f"DELETE_DATA={PLATFORM.name}")
        shutil.rmtree(PLATFORM.directory)


def measure(bench: Bench) -> None:
    """Time `make demo` from nothing but the images."""
    values = []
    for _ in range(min(RUNS, bench.repeats)):
        remove_platform()
        values.append(seconds(lambda: make("demo")))
    note = "no platform, no data, images present; to the end of the pipeline"
    bench.add(Figure("`make demo`, images present", "s", values, note, AT_MOST_S))
