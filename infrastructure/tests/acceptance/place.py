"""Where a platform's services run, a host or a cluster: what is planned there, what checks ask."""

from __future__ import annotations

import io
import subprocess
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml
from dap.engine.prepare import Prepared
from dap.plan import HostPlan, Stream
from dap.plan.model import HostView
from dap.render import Tree

from acceptance.commands import said
from acceptance.findings import CheckError, UnreachedError

if TYPE_CHECKING:
    from acceptance.hosts import Host

# Files may change and vanish while they are read.
READ = """\
find "$@" -print0 | tar --create --absolute-names --null --no-recursion --files-from=- \
    --ignore-failed-read --warning=no-file-changed --file=- || [ $? = 1 ]
"""


HEALTH_TIMEOUT_S = 30
LATE = f"its health check does not end within {HEALTH_TIMEOUT_S} s"


@dataclass(frozen=True)
class Entry:
    """A file or folder; `content` is none where it is no plain file."""

    path: str
    mode: int
    owner: tuple[int, int]
    folder: bool
    content: bytes | None


@dataclass(frozen=True)
class Process:
    """A process; `users` are real, effective, saved and filesystem user."""

    pid: int
    name: str
    users: tuple[int, ...]
    command: bytes
    environment: bytes


@dataclass(frozen=True)
class Program:
    """What runs in a container: of which service it is, and whether it is a job of that service.

    `service` is empty for what is of none.
    """

    name: str
    service: str
    job: bool
    processes: Sequence[Process]


class Place(ABC):
    """A place that runs services of the platform, as checks ask it."""

    def __init__(self, prepared: Prepared, part: HostPlan, tree: Tree) -> None:
        """Know what is planned there."""
        self.part, self.tree = part, tree
        self.name = part.host.name
        self._prepared = prepared
        self._problem: UnreachedError | None = None

    @property
    def view(self) -> HostView:
        """What the plan says of it."""
        return self.part.host

    @cached_property
    def compose(self) -> Mapping[str, Mapping[str, Any]]:
        """Service → what `compose.yml`, as rendered from the settings, says about it."""
        text = next(file.content for file in self.tree.files if file.path == "compose.yml")
        services: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)[
            "services"
        ]
        return services

    @property
    def runs_jobs(self) -> bool:
        """Whether jobs of pipelines run there."""
        return self.view.runs_jobs

    def exceptions(self, service: str) -> Mapping[str, str]:
        """What `x-dap.exceptions` of a service says."""
        options = self.compose[service].get("x-dap", {})
        return dict(options.get("exceptions", {}))

    @cached_property
    def entry(self) -> str:
        """Name of the service that all comes in by."""
        return next(
            service.name
            for folder in self.part.folders
            for service in folder.services
            if service.options.entry
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names that its proxy answers to."""
        return self._prepared.plan.names(self.part)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """TCP ports beside those of pages that its proxy publishes."""
        return self._prepared.plan.published_streams(self.part)

    @property
    def _platform(self) -> str:
        return self._prepared.plan.settings.name

    def reached(self) -> None:
        """Go on if it answered at the start and has the platform.

        Raises:
            UnreachedError: it did not, or has not.
        """
        if self._problem is not None:
            raise UnreachedError(self._problem.what, self._problem.remedy)

    @property
    def is_reached(self) -> bool:
        """Whether it answered at the start and has the platform."""
        return self._problem is None

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the platform is there, for a person."""

    @property
    @abstractmethod
    def outside(self) -> str:
        """IP address or name at which this machine reaches the proxy."""

    @abstractmethod
    def look(self) -> bool:
        """See what runs there; tell whether the platform is. Who can't be asked says so later."""

    @abstractmethod
    def remedy(self, service: str) -> str:
        """Return what makes a service anew as it is meant."""

    @abstractmethod
    def logs(self, *services: str) -> str:
        """Return what shows a person the logs of services."""

    @abstractmethod
    def logged(self, service: str) -> list[bytes] | None:
        """Return the logs of a service; None where it has no container."""

    @property
    @abstractmethod
    def resting(self) -> set[str]:
        """Services that are stopped because that was wanted."""

    @abstractmethod
    def unwell(self, service: str) -> str:
        """Return what is wrong with a service by its own health check, asked now; else nothing.

        Raises:
            CheckError: it has no container.
        """

    @abstractmethod
    def strangers(self) -> list[str]:
        """Return a sentence for each container there that is not of the plan."""

    @abstractmethod
    def limits(self, service: str) -> Mapping[str, float]:
        """Return the limits that a container of a service has here, by keys of Compose."""

    @abstractmethod
    def rights(self, service: str) -> Mapping[str, Any]:
        """Return the rights that a container of a service has, by keys of Compose."""

    @abstractmethod
    def user(self, service: str) -> str:
        """Return whom a service is told to run as, as Compose says it."""

    @property
    @abstractmethod
    def programs(self) -> Sequence[Program]:
        """What runs in the platform's containers."""

    @abstractmethod
    def address(self, service: str) -> str:
        """Return the IP address of a service, as workspaces and jobs find it."""

    @abstractmethod
    def do_in(self, service: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a container of a service as its user; its exit status is the caller's.

        Raises:
            CheckError: it has none, or the command takes too long.
        """

    @abstractmethod
    def aside(self, service: str, *command: str) -> str:
        """Run a command as the service would, not in the memory of the one that runs, if that goes.

        Raises:
            CheckError: it failed.
        """

    @abstractmethod
    def growth(self, services: Mapping[str, str]) -> AbstractContextManager[dict[str, int]]:
        """Watch services, name → service; at the end the result has the bytes each has grown by."""

    @abstractmethod
    def past_the_proxy(
        self, service: str, port: int
    ) -> AbstractContextManager[tuple[Host | None, str, int]]:
        """Open a way to a port of a service: on which host (None: this machine), and whereto."""

    @abstractmethod
    def files_in(self, service: str, target: str, *find: str) -> dict[str, Entry]:
        """Return files of what a service has mounted at `target`, by path in it.

        Args:
            service: compose service.
            target: path in its container.
            find: conditions of `find` for those that are wanted; {} stands for the place.
        """

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a container of a service as its user; return what it prints.

        Raises:
            CheckError: it failed.
        """
        done = self.do_in(service, *command)
        if done.returncode:
            raise CheckError(f"{said(command, done)} in {service}", "make deploy")
        return done.stdout.decode(errors="replace")


def entries(archive: bytes) -> Iterator[Entry]:
    """Yield what is in an archive that READ made."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            path = f"/{member.name.strip('/')}"
            file = members.extractfile(member) if member.isreg() or member.islnk() else None
            content = file.read() if file else None
            owner = member.uid, member.gid
            yield Entry(path, member.mode, owner, member.isdir(), content)


def unhealthy(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a health check that has ended says is wrong; nothing where it is well."""
    if not done.returncode:
        return ""
    told = (done.stdout + done.stderr).decode(errors="replace").strip()[-200:]
    return f"its health check ends with {done.returncode}" + (f": {told}" if told else "")
