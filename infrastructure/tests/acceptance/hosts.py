"""A host of the platform: what runs and lies there, and commands as root on it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from dap.engine.prepare import Prepared
from dap.plan import HostPlan, Stream
from dap.plan.model import HostView
from dap.reach import HostError, as_root, ask, listen
from dap.render import Tree
from dap.render.compose import MAY_STOP_LABEL

from acceptance.commands import TIMEOUT_S, do, said
from acceptance.findings import CheckError, UnreachedError

Container = dict[str, Any]
LABEL = "com.docker.compose"
JOB = "dap.pipeline"
"""Label of what a pipeline makes."""
# Containers come and go: what is said of the others counts.
INSPECT = """\
found=
for filter; do
    found="$found $(docker ps --all --quiet --no-trunc --filter "$filter")" || exit
done
found=$(printf '%s\\n' $found | sort -u)
if [ -z "$found" ]; then echo '[]'; exit; fi
docker container inspect $found
"""
# Files may change and vanish while they are read.
READ = """\
find "$@" -print0 | tar --create --absolute-names --null --no-recursion --files-from=- \
    --ignore-failed-read --warning=no-file-changed --file=- || [ $? = 1 ]
"""


@dataclass(frozen=True)
class Entry:
    """A file or folder of a host; `content` is none where it is no plain file."""

    path: str
    mode: int
    owner: tuple[int, int]
    folder: bool
    content: bytes | None


@dataclass(frozen=True)
class Process:
    """A process of a container; `users` are real, effective, saved and filesystem user."""

    pid: int
    name: str
    users: tuple[int, ...]
    command: bytes
    environment: bytes


class Host:
    """A host, which is this machine or is reached over SSH."""

    def __init__(
        self,
        prepared: Prepared,
        part: HostPlan,
        tree: Tree,
        options: Callable[[HostView], list[str]],
    ) -> None:
        """Know what is planned there; `options` gives those of ssh."""
        self.part, self.tree = part, tree
        self.name, self.directory = part.host.name, Path(tree.directory)
        self.containers: dict[str, Container] = {}
        self._prepared, self._options = prepared, options
        self._problem: UnreachedError | None = None

    @property
    def view(self) -> HostView:
        """What the plan says of it."""
        return self.part.host

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        return self.view.address == "localhost"

    @property
    def place(self) -> str:
        """Where the platform lies on it, for a person."""
        alone = len(self._prepared.plan.hosts) == 1
        return str(self.directory) if alone else f"{self.directory} on {self.name}"

    def look(self) -> bool:
        """See what runs there; tell whether the platform is. Who can't be asked says so later."""
        try:
            found = self.ask("deployed", directory=str(self.directory))
            self.containers = self._services() if found else {}
        except UnreachedError as error:
            self._problem = error
            return True
        except CheckError as error:
            self._problem = UnreachedError(f"{self.name}: {error.what}", error.remedy)
            return True
        if not self.containers:
            what = f"{self.name}: the platform {self._platform} is not deployed there"
            self._problem = UnreachedError(what, "make deploy")
        return bool(self.containers)

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

    def ask(self, module: str, **arguments: Any) -> Any:
        """Return what a module of `dap.onhost` finds out there.

        Raises:
            UnreachedError: it can't be asked.
        """
        self.reached()
        root, options = self._prepared.root, self._options(self.view)
        try:
            return ask(root, self.view, module, arguments, timeout_s=TIMEOUT_S, options=options)
        except HostError as error:
            raise UnreachedError(error.message, error.hint or "make doctor") from None

    def do(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run a command as root there; its exit status is the caller's.

        Raises:
            CheckError: it takes longer than TIMEOUT_S.
        """
        self.reached()
        line = as_root(self._prepared.root, self.view, command, self._options(self.view))
        return do(*line, stdin=stdin, shown_as=command)

    def output(self, *command: str, stdin: str = "", remedy: str = "make deploy") -> bytes:
        """Run a command as root there; return what it prints.

        Raises:
            CheckError: it failed or took longer than TIMEOUT_S.
        """
        done = self.do(*command, stdin=stdin)
        if done.returncode:
            where = "" if self.here else f" on {self.name}"
            raise CheckError(f"{said(command, done)}{where}", remedy)
        return done.stdout

    def run(self, *command: str, stdin: str = "", remedy: str = "make deploy") -> str:
        """Run a command as `output` does; return what it prints as text."""
        return self.output(*command, stdin=stdin, remedy=remedy).decode(errors="replace")

    def files(self, *find: str) -> dict[str, Entry]:
        """Return what `find` with these arguments finds there, by path."""
        found = {}
        archive = self.output("sh", "-c", READ, "sh", *find)
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                path = f"/{member.name.strip('/')}"
                file = members.extractfile(member) if member.isreg() or member.islnk() else None
                content = file.read() if file else None
                owner = member.uid, member.gid
                found[path] = Entry(path, member.mode, owner, member.isdir(), content)
        return found

    def file_of(self, secret: str) -> str:
        """Return the path there of a file with nothing but a secret in it, as it is rendered."""
        content = self._prepared.secrets[secret].encode()
        path = next(file.path for file in self.tree.files if file.content == content)
        return str(self.directory / path)

    @cached_property
    def files_of_tree(self) -> dict[str, Entry]:
        """All below the platform's folder, by path in it."""
        start = len(str(self.directory)) + 1
        return {path[start:] or ".": each for path, each in self.files(str(self.directory)).items()}

    @property
    def _platform(self) -> str:
        return self._prepared.plan.settings.name

    def _inspect(self, *filters: str) -> list[Container]:
        """Return what `docker inspect` says about containers that any of the filters finds."""
        found = self.do("sh", "-c", INSPECT, "sh", *filters)
        if not found.stdout.strip():
            raise CheckError(said(["docker", "ps"], found), "is Docker's engine up? make doctor")
        containers: list[Container] = json.loads(found.stdout)
        return containers

    def _services(self) -> dict[str, Container]:
        """What `docker inspect` says, by compose service; one-shot runs are left out."""
        return {
            each["Config"]["Labels"][f"{LABEL}.service"]: each
            for each in self._inspect(f"label={LABEL}.project={self._platform}")
            if each["Config"]["Labels"].get(f"{LABEL}.oneoff") == "False"
        }

    @cached_property
    def everything(self) -> list[Container]:
        """`docker inspect` of all containers that are the platform's or stand in its networks."""
        return self._inspect(
            f"label={LABEL}.project={self._platform}",
            f"label=dap.platform={self._platform}",
            f"network={self._platform}_internal",
            f"network={self._platform}_edge",
        )

    @property
    def running(self) -> list[Container]:
        """Those of them that run."""
        return [each for each in self.everything if each["State"]["Running"]]

    @cached_property
    def engine(self) -> list[Container]:
        """`docker inspect` of all containers that run, whoever's they are."""
        return self._inspect("status=running")

    @cached_property
    def processes(self) -> dict[str, list[Process]]:
        """Processes of the running containers, by the container's id."""
        told = self.ask("processes", containers=[each["Id"] for each in self.running])
        return {
            container: [
                Process(
                    each["pid"],
                    each["name"],
                    tuple(each["users"]),
                    base64.b64decode(each["command"]),
                    base64.b64decode(each["environment"]),
                )
                for each in found
            ]
            for container, found in told.items()
        }

    @cached_property
    def resting(self) -> set[str]:
        """Services that are stopped because that was wanted."""
        return {
            name
            for name, container in self.containers.items()
            if MAY_STOP_LABEL in container["Config"]["Labels"]
            and container["State"]["Status"] == "exited"
            and container["State"]["ExitCode"] == 0
        }

    @cached_property
    def compose(self) -> Mapping[str, Mapping[str, Any]]:
        """Service → what `compose.yml`, as rendered from the settings, says about it."""
        text = next(file.content for file in self.tree.files if file.path == "compose.yml")
        services: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)[
            "services"
        ]
        return services

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
    def names_lead_to(self) -> str:
        """The address at which its own programs find them."""
        return self._prepared.plan.names_lead_to(self.part)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """TCP ports beside those of pages that its proxy publishes."""
        return self._prepared.plan.published_streams(self.part)

    @property
    def published(self) -> set[tuple[str, int]]:
        """Addresses and ports of it that are its proxy's, by the plan."""
        plan = self._prepared.plan
        return {(plan.published_at(self.part), port) for port in plan.published_ports(self.part)}

    def container(self, service: str) -> Container:
        """What `docker inspect` says about the container of a service.

        Raises:
            CheckError: it has none.
        """
        self.reached()
        if service not in self.containers:
            raise CheckError("it has no container", "make deploy")
        return self.containers[service]

    def address(self, service: str) -> str:
        """IP address of a service in the network of workspaces and jobs."""
        networks = self.container(service)["NetworkSettings"]["Networks"]
        return str(networks[f"{self._platform}_edge"]["IPAddress"])

    def execute(self, service: str, *command: str) -> str:
        """Run a command in the container of a service as its user; return what it prints.

        Raises:
            CheckError: it failed.
        """
        return self.run("docker", "exec", self.container(service)["Id"], *command)

    @contextmanager
    def growth(self, services: Mapping[str, str]) -> Iterator[dict[str, int]]:
        """Watch services, name → service; at the end the result has the bytes each has grown by."""
        containers = {name: self.container(each)["Id"] for name, each in services.items()}
        watcher = listen(self._prepared.root, self.view, "memory", {"containers": containers})
        result: dict[str, int] = {}
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        with watcher:
            try:
                if not watcher.stdout.readline():
                    raise CheckError("its memory can't be watched", "make doctor")
                yield result
            finally:
                watcher.stdin.close()
                last = watcher.stdout.read()
        result.update(json.loads(last or "{}"))


def hosts_of(prepared: Prepared, options: Callable[[HostView], list[str]]) -> Sequence[Host]:
    """Return the hosts of the plan, in its order."""
    trees = {tree.host: tree for tree in prepared.trees}
    return [Host(prepared, part, trees[part.host.name], options) for part in prepared.plan.hosts]
