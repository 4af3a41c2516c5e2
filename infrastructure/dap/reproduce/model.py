"""What is known of a run, and who can be asked about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

History = Sequence[tuple[int, float]]
"""Steps and values of a metric, in the order of the steps."""


@dataclass(frozen=True)
class Account:
    """A project as its jobs log in: what the folders' `client/` give it.

    Attributes:
        name: name of the project and of its account.
        password: its password.
        environment: variables.
        files: variables that name a file, and the files.
    """

    name: str
    password: str = field(repr=False)
    environment: Mapping[str, str]
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Run:
    """A run; `started` is in milliseconds since the epoch, `url` its page."""

    id: str
    experiment: str
    name: str
    status: str
    deleted: bool
    started: int
    url: str
    tags: Mapping[str, str]
    metrics: tuple[str, ...]


class Runs(Protocol):
    """Where runs are kept, as a project sees it."""

    def find(self, run: str) -> Run | None:
        """Return a run; None if there is none of this id that the project may see."""

    def tagged(self, experiment: str, tag: str, value: str) -> Sequence[Run]:
        """Return the runs of an experiment that bear a tag, the oldest first."""

    def history(self, run: str, metric: str) -> History:
        """Return all values of a metric."""

    def tag(self, run: str, tag: str, value: str) -> None:
        """Give a run a tag."""


class Folder(Protocol):
    """A service folder's `reproduce.py`; it has what of these is its own."""

    def runs(self, account: Account) -> Runs:
        """Return where runs are kept."""

    def has(self, account: Account, data: str) -> bool | None:
        """Tell if data is there, as a run's tag `data` names it; None: not this folder's kind."""

    def variables(self, run: str) -> Mapping[str, str]:
        """Return variables of a job that repeats a run, so that it changes nothing else."""
