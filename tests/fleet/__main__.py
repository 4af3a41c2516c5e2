"""`python -m tests.fleet up|down`: fresh hosts for trying things by hand."""

import argparse
import sys

from tests.fleet.hosts import chosen


def main() -> int:
    """Make or remove hosts; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("verb", choices=("up", "down"))
    parser.add_argument("--hosts", type=int, default=3, help="how many, 1 to 9")
    given = parser.parse_args()
    fleet = chosen(given.hosts)
    if given.verb == "down":
        fleet.down()
        return 0
    fleet.up()
    print(fleet.hosts_section, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
