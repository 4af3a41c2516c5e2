"""Runs the acceptance tests of a project's platform: `run.py PROJECT [--json] [--only TEXT]`.

In a pod of the platform's cluster `--inside FILE` has the secrets, for the vault is not there. Then
results in JSON are one line, which tells them from what else is in the pod's log.
Exit status: 0 all passed, 1 some failed, 2 they could not be run.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest
from acceptance import Deployed, Place, plugin
from acceptance.compute import computes
from acceptance.hosts import hosts_of
from acceptance.report import Report
from dap import names, ssh
from dap.engine import Prepared, prepare
from dap.errors import DapError, InputError


class _Given:
    """Gives the platform to the plugin, and leaves out the checks that were not asked for."""

    def __init__(self, platform: Deployed, only: str) -> None:
        self._platform = platform
        self._only = only.lower()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep it where the fixtures look."""
        config.stash[plugin.PLATFORM] = self._platform

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the checks whose place or name has the text in it, with blanks or without."""
        items[:] = [
            item
            for item in items
            if self._only in item.nodeid.lower() or self._only in item.nodeid.replace("_", " ")
        ]


@contextmanager
def deployed(root: Path, inside: Path | None) -> Iterator[Deployed]:
    """Give the platform of the project at `root`; its names are known meanwhile.

    Args:
        root: the project's folder.
        inside: file with its secrets, where this is a pod of its cluster.

    Raises:
        InputError: it is not deployed, or its settings are wrong.
        DapError: its cluster does not answer.
    """
    prepared = prepare(root, json.loads(inside.read_bytes()) if inside else None)
    with places(prepared, inside=inside is not None) as found:
        platform = Deployed(prepared, found, () if inside else computes(prepared))
        if not platform.look():
            own = platform.service_host
            raise InputError(
                f"the platform {platform.name} is not deployed: {own.place} has nothing of it",
                "make deploy",
            )
        if prepared.new_secrets:
            raise InputError(
                "platform.yml asks for what was never deployed: there is no "
                + ", ".join(prepared.new_secrets),
                "make deploy",
            )
        with names.known(prepared.plan, platform.address):
            yield platform


@contextmanager
def places(prepared: Prepared, *, inside: bool) -> Iterator[Sequence[Place]]:
    """Give the places that the plan has, as long as they can be asked."""
    settings, root = prepared.plan.settings, prepared.root
    if settings.cluster is None:
        with ssh.shared(root, [part.host for part in prepared.plan.hosts]) as options:
            yield hosts_of(prepared, options)
        return
    # What asks a cluster is installed for one alone.
    from acceptance.cluster import Cluster
    from dap.stack.live import connected
    from dap.stack.place import of_platform, placed

    with connected(placed(settings, ()) if inside else of_platform(settings, root)) as live:
        yield [Cluster(prepared, live, inside=inside)]


def test(platform: Deployed, *, as_json: bool, only: str) -> int:
    """Run the tests; return the exit status."""
    report = Report(as_json=as_json)
    here = Path(__file__).resolve().parent
    arguments = [
        *(str(place) for place in plugin.places(platform)),
        *("-c", str(here / "pytest.ini"), f"--rootdir={platform.prepared.root}"),
        *("--noconftest", "-p", "no:cacheprovider", "-p", "no:terminal"),
    ]
    status = pytest.main(arguments, plugins=[_Given(platform, only), plugin, report])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise InputError(
            f"no check has '{only}' in its name", "ONLY takes a part of one, such as portal"
        )
    if status != pytest.ExitCode.OK and not report.count("failed"):
        raise DapError(f"the checks could not be run: pytest ends with {int(status)}")
    report.close()
    return 0 if status == pytest.ExitCode.OK else 1


def main() -> int:
    """Run what the command line says."""
    given = arguments()
    if given.inside is None or not given.json:
        return run(given)
    from dap.stack.verify import RESULT

    with redirect_stdout(io.StringIO()) as said:
        status = run(given)
    print(RESULT + json.dumps(json.loads(said.getvalue())))
    return status


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--inside", type=Path)
    return parser.parse_args()


def run(given: argparse.Namespace) -> int:
    """Run the tests that were asked for; return the exit status."""
    try:
        with deployed(given.project, given.inside) as platform:
            return test(platform, as_json=given.json, only=given.only)
    except DapError as error:
        if given.json:
            print(json.dumps({"ok": False, "error": error.message, "tests": []}))
        hint = f"\n{error.hint}" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
