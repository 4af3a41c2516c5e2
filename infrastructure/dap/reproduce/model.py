"""What is known of a run, and who can be asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True)
class Platform:
    """What runs jobs is asked with: as the operator, who has all secrets.

    Attributes:
        name: name of the platform.
        authority: file with the certificate that its pages are to be trusted by.
        url: gives the address of a route.
        secret: gives a secret.
    """

    name: str
    authority: Path
    url: Callable[[str], str]
    secret: Callable[[str], str] = field(repr=False)


@dataclass(frozen=True)
class Order:
    """A job that is to be run again.

    Attributes:
        run: id of the run that it made.
        project: name of its project.
        commit: object name of its commit.
        ref: the branch or tag that holds it.
        job: its name.
        image: reference of the image that it must run in.
        variables: what it is given beside all that it always is; they go before those.
    """

    run: str
    project: str
    commit: str
    ref: str
    job: str
    image: str
    variables: Mapping[str, str]

    @property
    def message(self) -> str:
        """What it is for."""
        return f"Reproduces run {self.run}"


@dataclass(frozen=True)
class Ended:
    """How a pipeline of one job ended.

    Attributes:
        number: what the runs that it made call it.
        url: its page.
        status: `success`, or any other word.
        reason: why, if that is known.
        image: the image that the job ran in.
        log: the end of the job's log.
    """

    number: int
    url: str
    status: str
    reason: str
    image: str
    log: Sequence[str]


@dataclass(frozen=True)
class Found:
    """What there is of a run.

    Attributes:
        ref: a branch or tag that holds its commit; empty: none does.
        image: whether its image is where jobs run; None: nobody looked.
    """

    ref: str
    image: bool | None = None


class Jobs(Protocol):
    """What runs a job again."""

    def look(self, project: str, commit: str, image: str) -> Found:
        """Look for a commit in a project's repository, and for an image.

        Raises:
            DapError: nobody answers.
        """

    def again(self, order: Order, say: Callable[[str], None]) -> Ended:
        """Run the job to its end, and say how it goes.

        Raises:
            DapError: it can't be run.
        """


class Folder(Protocol):
    """A service folder's `reproduce.py`; it has what of these is its own."""

    def runs(self, account: Account) -> Runs:
        """Return where runs are kept."""

    def jobs(self, platform: Platform) -> Jobs:
        """Return what runs jobs, where no service of the folder has `x-dap.reproduce`."""

    def has(self, account: Account, data: str) -> bool | None:
        """Tell if data is there, as a run's tag `data` names it; None: not this folder's kind."""

    def variables(self, run: str) -> Mapping[str, str]:
        """Return variables of a job that repeats a run, so that it changes nothing else."""
