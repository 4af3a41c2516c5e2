"""`python -m tests.gitlab.standin`: serve until ended."""

import argparse
from pathlib import Path

from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.serve import Server, Standin
from tests.gitlab.standin.state import State


def main() -> None:
    """Serve on a port of this machine alone; the state outlives the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--requests", type=Path)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--starting", type=int, default=0, help="requests that get 502 first")
    parser.add_argument("--die-after", default="", help="pattern of METHOD PATH to die of")
    parser.add_argument("--repositories", type=Path, help="folder of repositories; no hooks")
    given = parser.parse_args()
    state = State.load(given.state, given.token_file.read_text().strip())
    state.save(given.state)
    standin = Standin(state, given.state, given.requests, given.starting, given.die_after)
    if given.repositories:
        standin.repositories = Repositories(given.repositories, Path("/bin/true"))
    Server((given.address, given.port), standin).serve_forever()


if __name__ == "__main__":
    main()
