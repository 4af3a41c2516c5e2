"""`make bench`: measure, keep the results in doc/benchmarks.json, write doc/benchmarks.md."""

import argparse
import os
import sys
import time
import traceback

from demo.access import Clock
from demo.project import ROOT
from tests.bench.bench import Bench
from tests.bench.machine import commit, machine
from tests.bench.page import page
from tests.bench.results import Results, Section, read
from tests.bench.subjects import APART, SUBJECTS, chosen

PAGE = ROOT / "doc" / "benchmarks.md"
RESULT = ROOT / "doc" / "benchmarks.json"
REPEATS = 5


def measure(results: Results, names: list[str], repeats: int) -> list[str]:
    """Take the figures of some subjects into the results; names of those that failed."""
    clock, failed = Clock(), []
    for name in names:
        clock.say(f"bench {name}")
        bench, load = Bench(repeats), os.getloadavg()[0]
        try:
            SUBJECTS[name].measure(bench)
        except Exception:
            # The others' figures are worth having all the same.
            traceback.print_exc()
            failed.append(name)
            continue
        if bench.figures:
            day = time.strftime("%Y-%m-%d")
            results.sections[name] = Section(day, commit(), load, bench.figures)
            results.write(RESULT)
    clock.say("bench done")
    return failed


def main() -> int:
    """Measure and write; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of what takes seconds")
    parser.add_argument("--only", default="", help=f"some of: {','.join(SUBJECTS)}")
    given = parser.parse_args()
    try:
        names = chosen(given.only)
    except ValueError as error:
        parser.error(str(error))
    results = read(RESULT, machine())
    failed = measure(results, names, given.repeats)
    results.write(RESULT)
    missing = [name for name in SUBJECTS if name not in {*results.sections, *APART}]
    if missing:
        print(f"not written: {PAGE.relative_to(ROOT)}, for lack of {', '.join(missing)}")
    else:
        titles = {name: subject.title for name, subject in SUBJECTS.items()}
        text = page(results, titles, PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(text, encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    print(f"written: {RESULT.relative_to(ROOT)}")
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
