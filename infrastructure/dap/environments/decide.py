"""Which images the environments of a commit have, and which are still to be built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dap.environments.content import Folder
from dap.environments.lock import Locked


@dataclass(frozen=True)
class Step:
    """An environment of the commit: `image` is the one it has, None where it is to be built."""

    folder: Folder
    content: str
    image: str | None
    why: str

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.folder.name


def wanted(folders: Mapping[str, Folder], offered: Iterable[str]) -> set[str]:
    """Return the environments that must have an image: those offered, and their parents."""
    found: set[str] = set()
    for name in offered:
        while name in folders and name not in found:
            found.add(name)
            name = folders[name].parent
    return found


def decide(
    folders: Mapping[str, Folder],
    contents: Mapping[str, str],
    names: Iterable[str],
    candidates: Iterable[tuple[str, Mapping[str, Locked]]],
    exists: Callable[[str], bool],
) -> list[Step]:
    """Return a step for each environment, parents first.

    Args:
        folders: all environments, each after its parent.
        contents: what each is made of.
        names: those to decide on.
        candidates: where images may be known from, and what is known there, the best first.
        exists: whether the registry has an image.
    """
    known = list(candidates)
    chosen = set(names)
    steps = []
    for name, folder in folders.items():
        if name not in chosen:
            continue
        step = Step(folder, contents[name], None, "to be built")
        for where, entries in known:
            entry = entries.get(name)
            if entry is not None and entry.content == step.content and exists(entry.image):
                step = Step(folder, step.content, entry.image, where)
                break
        steps.append(step)
    return steps


def new_lock(
    lock: Mapping[str, Locked],
    deployed: Mapping[str, Locked],
    images: Mapping[str, Locked],
    folders: Mapping[str, Folder],
) -> dict[str, Locked]:
    """Return the lock after `images` were decided on.

    What no lock ever held stays out where the last deploy brought it: it needs no entry.
    """
    kept = {name: entry for name, entry in lock.items() if name in folders}
    for name, entry in images.items():
        if name in kept or deployed.get(name) != entry:
            kept[name] = entry
    return kept
