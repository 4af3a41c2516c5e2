"""`python -m dap_pipelines serve`, or `run` or `forget` with PROJECT NUMBER."""

from __future__ import annotations

import logging
import sys

from dap_pipelines.values import read_values


def main(words: list[str]) -> None:
    """Do what the words say."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    values = read_values()
    if words == ["serve"]:
        from dap_pipelines.worker import Worker

        Worker(values).serve()
        return
    verb, project, number = words
    # Each starts quickly: it loads only what it needs.
    if verb == "forget":
        from dap_pipelines import state

        state.forget(state.load(project, int(number)))
        return
    if verb != "run":
        raise SystemExit(__doc__)
    from dap_pipelines.run import run

    run(project, int(number), values)


if __name__ == "__main__":
    main(sys.argv[1:])
