"""`python -m tests.fleet`: fresh hosts for trying things by hand.

up       make hosts; print `address:` and `hosts:` for platform.yml
project  the same, and a project for them beside, with the service host's images at hand
down     remove hosts and networks
clean    remove what is kept between runs: images, and the volume with the service host's
"""

import argparse
import sys

from tests.fleet import image, seed
from tests.fleet.hosts import chosen
from tests.fleet.platform import WORKSPACES, FleetPlatform

VERBS = ("up", "project", "down", "clean")


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--hosts", type=int, default=3, help="how many, 1 to 9")
    given = parser.parse_args()
    fleet = chosen(given.hosts)
    if given.verb == "clean":
        seed.remove()
        image.remove()
        return 0
    fleet.down()
    if given.verb == "down":
        FleetPlatform.on(fleet).project.forget_key()
        return 0
    fleet.up()
    print(fleet.hosts_section, end="")
    if given.verb == "project":
        platform = FleetPlatform.on(fleet)
        there = [entry for entry in WORKSPACES if entry["host"] in fleet.hosts]
        platform.scaffold(list(fleet.hosts), there)
        platform.seed()
        print(f"\nmake -C {platform.project.path} deploy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
