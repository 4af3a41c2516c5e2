"""What the verbs do with clusters that run jobs, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from dap.engine import Prepared
    from dap.stack.clusters import InCluster
    from dap.stack.status import Row


def known(prepared: Prepared) -> bool:
    """Whether the settings name clusters, or an earlier deploy did."""
    if prepared.plan.clusters:
        return True
    if not (prepared.root / ".dap" / "state").exists():
        return False  # what asks for more loads slowly
    from dap.stack import clusters

    return bool(clusters.stacks(prepared))


def look(prepared: Prepared, tell: Callable[[str], None]) -> bool:
    """Look whether clusters take what is for them, before anything is changed; if any is known.

    Raises:
        InputError: one does not.
    """
    if not known(prepared):
        return False
    from dap.stack import clusters  # loads slowly

    clusters.check(prepared, tell)
    return True


def counted(found: Iterable[InCluster]) -> int:
    """Return how many changes there are in all clusters."""
    return sum(len(each.changes) for each in found)


def as_data(found: Iterable[InCluster]) -> dict[str, Any]:
    """Return the changes by cluster for a script."""
    return {
        each.cluster: [
            {"operation": change.operation, "object": change.thing, "paths": change.paths}
            for change in each.changes
        ]
        for each in found
    }


def show_rows(found: dict[str, list[Row]], shown: Console) -> int:
    """Print how the services of clusters are; return how many are not well."""
    width = max((len(cluster) for cluster in found), default=0)
    for cluster, rows in found.items():
        for row in rows:
            text = f"cluster {cluster:<{width}}  {row.service}  {row.lacks or 'ready'}"
            shown.print(text, highlight=False, markup=False)
    return sum(bool(row.lacks) for rows in found.values() for row in rows)
