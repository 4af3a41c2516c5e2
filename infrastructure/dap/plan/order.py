"""The order in which folders' content is made."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from dap.catalogue import HostedFolder
from dap.errors import InputError


def in_order(folders: Iterable[HostedFolder]) -> tuple[HostedFolder, ...]:
    """Return folders so that each comes after those it needs; alike ones by name.

    Raises:
        InputError: folders need each other in a circle.
    """
    by_name = {folder.name: folder for folder in folders}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for folder in by_name.values():
        before = {*folder.options.needs, *(part.from_ for part in folder.options.resources)}
        sorter.add(folder.name, *(before & by_name.keys() - {folder.name}))
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InputError(f"x-dap.needs: services need each other in a circle: {circle}") from error
    ordered: list[HostedFolder] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready()):
            ordered.append(by_name[name])
            sorter.done(name)
    return tuple(ordered)
