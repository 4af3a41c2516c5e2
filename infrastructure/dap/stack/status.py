"""How a platform in its cluster is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dap.cluster import Objects
from dap.engine import Prepared
from dap.stack.live import connected
from dap.stack.model import WORKLOADS
from dap.stack.place import of_platform
from dap.stack.plan import objects_of


@dataclass(frozen=True)
class Row:
    """A service, and what it lacks; an empty text where it is well."""

    service: str
    lacks: str


def status(prepared: Prepared) -> list[Row]:
    """Return how each service is, by name.

    Raises:
        DapError: the cluster does not answer.
    """
    made = objects_of(prepared)
    settings = prepared.plan.settings
    with connected(of_platform(settings, prepared.root)) as live:
        missing = live.missing(made)
    return rows(made, missing)


def rows(made: Objects, missing: Mapping[str, str]) -> list[Row]:
    """Return how each service of `made` is, by name; `missing` says what some lack."""
    names = [each["metadata"]["name"] for each in made.platform if each["kind"] in WORKLOADS]
    return [Row(name, missing.get(name, "")) for name in sorted(names)]
