"""A host of the platform: what Docker runs and what lies there, and commands as root on it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from dap import names
from dap.engine.prepare import Prepared
from dap.plan import HostPlan
from dap.plan.model import HostView
from dap.reach import HostError, as_root, ask, listen
from dap.render import Tree
from dap.render.compose import MAY_STOP_LABEL

from acceptance.commands import TIMEOUT_S, do, said
from acceptance.findings import CheckError, UnreachedError
from acceptance.place import (
    HEALTH_TIMEOUT_S,
    LATE,
    READ,
    Entry,
    Place,
    Process,
    Program,
    entries,
    unhealthy,
)

Container = dict[str, Any]
LABEL = "com.docker.compose"
JOB = "dap.pipeline"
"""Label of what a pipeline makes."""
ENDED_BY_TIMEOUT = 124
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


class Host(Place):
    """A host with Docker's engine, which is this machine or is reached over SSH."""

    def __init__(
        self,
        prepared: Prepared,
        part: HostPlan,
        tree: Tree,
        options: Callable[[HostView], list[str]],
    ) -> None:
        """Know what is planned there; `options` gives those of ssh."""
        super().__init__(prepared, part, tree)
        self.directory = Path(tree.directory)
        self.containers: dict[str, Container] = {}
        self._options = options

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        return self.view.address == "localhost"

    @property
    def place(self) -> str:
        """Where the platform lies on it, for a person."""
        alone = len(self._prepared.plan.hosts) == 1
        return str(self.directory) if alone else f"{self.directory} on {self.name}"

    @property
    def outside(self) -> str:
        """IP address or name at which this machine reaches the service host's proxy."""
        return names.address(self._prepared.plan)

    def remedy(self, service: str) -> str:
        """Return what makes a service anew as it is meant."""
        return f"docker compose up -d --force-recreate {service} in {self.place}"

    def logs(self, *services: str) -> str:
        """Return what shows a person the logs of services."""
        return f"docker compose logs {' '.join(services)} in {self.place}"

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
        archive = self.output("sh", "-c", READ, "sh", *find)
        return {each.path: each for each in entries(archive)}

    def files_in(self, service: str, target: str, *find: str) -> dict[str, Entry]:
        """Return files of what a service's container has mounted at `target`, by path in it."""
        mounts = self.container(service)["Mounts"]
        source = next(mount["Source"] for mount in mounts if mount["Destination"] == target)
        found = self.files(source, *(word.replace("{}", source) for word in find))
        return {path[len(source) + 1 :]: entry for path, entry in found.items()}

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

    @property
    def names_lead_to(self) -> str:
        """The address at which its own programs find them."""
        return self._prepared.plan.names_lead_to(self.part)

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

    def do_in(self, service: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the container of a service as its user; its status is the caller's."""
        return self.do("docker", "exec", self.container(service)["Id"], *command)

    def aside(self, service: str, *command: str) -> str:
        """Run a command in a container of its own, made as the service's is."""
        return self.run(
            *("docker", "compose", "--project-directory", str(self.directory), "run", "--rm"),
            *("--no-deps", "-T", service, *command),
        )

    @contextmanager
    def past_the_proxy(self, service: str, port: int) -> Iterator[tuple[Host | None, str, int]]:
        """Go as somebody who is on the host."""
        yield self, self.address(service), port

    def logged(self, service: str) -> list[bytes] | None:
        """Return the logs of a service; None where it has no container."""
        if service not in self.containers:
            return None
        done = self.do("docker", "logs", self.containers[service]["Id"])
        return [done.stdout, done.stderr]

    def unwell(self, service: str) -> str:
        """Ask its health check now: what Docker says of it may be half a minute old."""
        container = self.container(service)
        state = container["State"]
        if state["Status"] != "running":
            return f"it is {state['Status']}, with exit status {state['ExitCode']}"
        check = (container["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
        if check[0] == "NONE":
            return "it has no health check"
        command = check[1:] if check[0] == "CMD" else ["/bin/sh", "-c", check[1]]
        limit = ("timeout", str(HEALTH_TIMEOUT_S))
        done = self.do(*limit, "docker", "exec", container["Id"], *command)
        return LATE if done.returncode == ENDED_BY_TIMEOUT else unhealthy(done)

    def strangers(self) -> list[str]:
        """Return a sentence for each container in the platform's networks that is not planned."""
        planned = {service.name for service in self.part.services}
        found = []
        for container in self.everything:
            labels = container["Config"]["Labels"] or {}
            service = labels.get(f"{LABEL}.service")
            known = service in planned and labels.get(f"{LABEL}.project") == self._platform
            twice = (
                known
                and service in self.containers
                and labels.get(f"{LABEL}.oneoff") != "True"
                and self.containers[service]["Id"] != container["Id"]
            )
            if JOB not in labels and (not known or twice):
                found.append(f"the container {container['Name'].lstrip('/')} is not of the plan")
        return found

    def limits(self, service: str) -> dict[str, float]:
        """Return the limits of a service's container, by keys of Compose; 0: none."""
        has = self.container(service)["HostConfig"]
        return {
            "mem_limit": has["Memory"] or 0,
            "pids_limit": has["PidsLimit"] or 0,
            "cpus": (has["NanoCpus"] or 0) / 1e9,
        }

    def rights(self, service: str) -> dict[str, Any]:
        """Return the rights of a service's container, by keys of Compose."""
        has = self.container(service)["HostConfig"]
        return {
            "privileged": has["Privileged"],
            "cap_drop": has["CapDrop"] or [],
            "cap_add": [name.removeprefix("CAP_") for name in has["CapAdd"] or []],
            "security_opt": has["SecurityOpt"] or [],
            "read_only": has["ReadonlyRootfs"],
            "devices": has["Devices"] or [],
            "pid": has["PidMode"],
        }

    def user(self, service: str) -> str:
        """Return whom a service's container is told to run as."""
        return str(self.container(service)["Config"]["User"])

    @cached_property
    def programs(self) -> list[Program]:
        """What runs in the containers, by what their labels say that they are."""
        found = []
        for container in self.running:
            labels = container["Config"]["Labels"] or {}
            job = JOB in labels
            service = labels.get("dap.service" if job else f"{LABEL}.service", "")
            processes = self.processes[container["Id"]]
            found.append(Program(container["Name"].lstrip("/"), service, job, processes))
        return found

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
