"""A platform's namespace in a cluster: what runs there, asked by a kubeconfig."""

from __future__ import annotations

import socket
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from dap.cluster import Objects
from dap.cluster.source import PLATFORM_LABEL, SERVICE_LABEL
from dap.engine.prepare import Prepared
from dap.settings.cluster import OWN_JOBS
from dap.stack import objects_of
from dap.stack.entry import outside
from dap.stack.live import LOOKED_AT, Live
from dap.stack.quantity import quantity
from kubernetes import client
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import STDERR_CHANNEL, STDOUT_CHANNEL

from acceptance.commands import TIMEOUT_S, said, shown
from acceptance.findings import CheckError
from acceptance.hosts import JOB
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

if TYPE_CHECKING:
    from acceptance.hosts import Host

Object = dict[str, Any]
# Of each process that is seen: its number, and what is known of it, a line each.
PROCESSES = r"""
for place in /proc/[0-9]*; do
    { name=$(cat $place/comm) && users=$(grep ^Uid: $place/status); } 2>/dev/null || continue
    echo "${place#/proc/}"
    echo "$name"
    echo "${users#Uid:}"
    base64 --wrap=0 $place/cmdline 2>/dev/null; echo
    base64 --wrap=0 $place/environ 2>/dev/null; echo
done
"""
LINES = 5
# cgroup v2 and v1. Files that are cached don't count: they make way.
MEMORY = r"""
for file in /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat; do
    if [ -r $file ]; then cat $file; fi
done
"""
TAKEN = (("anon", "shmem"), ("total_rss", "total_shmem"))
EVERY_S = 0.2


class Cluster(Place):
    """The namespace of a platform."""

    def __init__(self, prepared: Prepared, live: Live, *, inside: bool) -> None:
        """Know what is planned, and how the cluster is asked; `inside`: by a pod of it."""
        (part,), (tree,) = prepared.plan.hosts, prepared.trees
        super().__init__(prepared, part, tree)
        self.live = live
        self._inside = inside

    @cached_property
    def planned(self) -> Objects:
        """The objects that are planned, with the address that the server of names has."""
        made = objects_of(self._prepared)
        if not made.nameserver:
            return made
        return objects_of(self._prepared, self.live.address(made.nameserver))

    @property
    def place(self) -> str:
        """The namespace, for a person."""
        return f"namespace {self.live.place} of the context {self._context}"

    @property
    def _context(self) -> str:
        cluster = self._prepared.plan.settings.cluster
        assert cluster is not None  # else this would be a host
        return cluster.context

    @cached_property
    def outside(self) -> str:
        """Address of the proxy: what the settings say, or what its Service or its node has.

        For a pod that of its Service, as for workspaces and jobs.
        """
        if self._inside:
            return self.live.address(self.entry)
        return outside(self._prepared.plan.settings, self.live, self.entry)

    @property
    def runs_jobs(self) -> bool:
        """Whether jobs of pipelines run in the same cluster, in the namespace beside."""
        return OWN_JOBS in {each.host.name for each in self._prepared.plan.clusters}

    def look(self) -> bool:
        """See what runs there; tell whether the platform is."""
        return any(
            self.live.all("apps/v1", kind, f"{PLATFORM_LABEL}={self._platform}")
            for kind in ("Deployment", "StatefulSet")
        )

    def remedy(self, service: str) -> str:
        """Return what makes a service anew as it is meant."""
        return f"{self._kubectl} delete pod -l {SERVICE_LABEL}={service}, or make deploy"

    def logs(self, *services: str) -> str:
        """Return what shows a person the logs of services."""
        found = (f"{self._kubectl} logs -l {SERVICE_LABEL}={service}" for service in services)
        return "; ".join(found)

    @property
    def _kubectl(self) -> str:
        return f"kubectl --context {self._context} -n {self.live.place}"

    def logged(self, service: str) -> list[bytes] | None:
        """Return the logs of a service's pods, of those beside and before it too."""
        read: Any = self.live.client().read_namespaced_pod_log  # as bytes, which its type denies
        place = self.live.place
        found: list[bytes] = [
            read(
                pod["metadata"]["name"], place, container=each["name"], _preload_content=False
            ).data
            for pod in self.pods.get(service, ())
            for each in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
        ]
        return found or None

    @property
    def resting(self) -> set[str]:
        """None: a cluster starts anew what has stopped."""
        return set()

    @cached_property
    def everything(self) -> list[Object]:
        """The pods of the namespace, whoever's they are."""
        return self.live.all("v1", "Pod")

    @cached_property
    def pods(self) -> dict[str, list[Object]]:
        """The pods that are to stay, by service."""
        found: dict[str, list[Object]] = {}
        for pod in self.everything:
            labels = pod["metadata"].get("labels") or {}
            if labels.get(PLATFORM_LABEL) == self._platform and not _ends(pod):
                found.setdefault(labels.get(SERVICE_LABEL, ""), []).append(pod)
        return found

    @cached_property
    def kinds(self) -> dict[tuple[str, str], dict[str, Object]]:
        """All objects of the namespace that concern the platform: version and kind → by name."""
        return {kind: self.live.named(*kind) for kind in LOOKED_AT}

    def is_ours(self, thing: Object) -> bool:
        """Tell whether an object says that it is the platform's, and is made from no other."""
        metadata = thing["metadata"]
        labels = metadata.get("labels") or {}
        return labels.get(PLATFORM_LABEL) == self._platform and not metadata.get("ownerReferences")

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports that its proxy publishes, by the plan."""
        return self._prepared.plan.published_ports(self.part)

    def _pod(self, service: str) -> Object:
        pods = self.pods.get(service)
        if not pods:
            raise CheckError("it has no pod", "make deploy")
        return pods[0]

    @cached_property
    def _missing(self) -> dict[str, str]:
        return self.live.missing(self.planned)

    def unwell(self, service: str) -> str:
        """Ask each pod whether it is ready, and its health check now: that may be old."""
        first = self._pod(service)
        lacks = self._missing.get(service, "")
        probe = first["spec"]["containers"][0].get("readinessProbe")
        if lacks or probe is None:
            return lacks or "it has no health check"
        for pod in self.pods[service]:
            try:
                done = self._exec(pod, probe["exec"]["command"], HEALTH_TIMEOUT_S)
            except TimeoutError:
                return LATE
            if done.returncode:
                return unhealthy(done)
        return ""

    def strangers(self) -> list[str]:
        """Return a sentence for each pod of the namespace that is not of the plan."""
        planned = {service.name for service in self.part.services}
        found = []
        for pod in self.everything:
            labels = pod["metadata"].get("labels") or {}
            known = labels.get(PLATFORM_LABEL) == self._platform
            if not (known and labels.get(SERVICE_LABEL) in planned) and JOB not in labels:
                found.append(f"the pod {pod['metadata']['name']} is not of the plan")
        return found

    def limits(self, service: str) -> dict[str, float]:
        """Return the limits of a service; how many processes it has is the kubelet's matter."""
        found = self._pod(service)["spec"]["containers"][0]["resources"].get("limits") or {}
        return {
            "mem_limit": float(quantity(found.get("memory", 0))),
            "cpus": float(quantity(found.get("cpu", 0))),
        }

    def rights(self, service: str) -> dict[str, Any]:
        """Return the rights of a service, by keys of Compose."""
        spec = self._pod(service)["spec"]
        has = spec["containers"][0].get("securityContext") or {}
        capabilities = has.get("capabilities") or {}
        profile = (spec["securityContext"].get("seccompProfile") or {}).get("type", "Unconfined")
        options = [] if has.get("allowPrivilegeEscalation", True) else ["no-new-privileges:true"]
        return {
            "privileged": has.get("privileged", False),
            "cap_drop": capabilities.get("drop") or [],
            "cap_add": capabilities.get("add") or [],
            "security_opt": options + ["seccomp=unconfined"] * (profile == "Unconfined"),
            "read_only": has.get("readOnlyRootFilesystem", False),
            "devices": [],
            "pid": "host" if spec.get("hostPID") else "",
        }

    def user(self, service: str) -> str:
        """Return whom a service is told to run as."""
        context = self._pod(service)["spec"]["securityContext"]
        return f"{context.get('runAsUser')}:{context.get('runAsGroup')}"

    @cached_property
    def programs(self) -> list[Program]:
        """What runs in the pods. Of another user's process the environment is not seen."""
        found = []
        for service, pods in self.pods.items():
            for pod in pods:
                if pod["status"].get("phase") == "Running":
                    processes = settled(partial(self._processes, pod))
                    found.append(Program(pod["metadata"]["name"], service, False, processes))
        return found

    def _processes(self, pod: Object) -> list[Process]:
        done = self._exec(pod, ["sh", "-c", PROCESSES])
        return list(processes_of(done.stdout.decode(errors="replace")))

    def address(self, service: str) -> str:
        """Return the address of a service's Service."""
        return self.live.address(service)

    def do_in(self, service: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a pod of a service as its user; its status is the caller's."""
        try:
            return self._exec(self._pod(service), command)
        except TimeoutError:
            what = f"{shown(command)} does not end within {TIMEOUT_S} s"
            raise CheckError(what, self.logs(service)) from None

    def aside(self, service: str, *command: str) -> str:
        """Run a command beside the service: its pod's memory is all there is."""
        return self.execute(service, *command)

    @contextmanager
    def growth(self, services: Mapping[str, str]) -> Iterator[dict[str, int]]:
        """Watch services, name → service; at the end the result has the bytes each has grown by."""
        before = {name: self._taken(each) for name, each in services.items()}
        highest = dict(before)
        end = threading.Event()

        def watch() -> None:
            while not end.wait(EVERY_S):
                for name, each in services.items():
                    highest[name] = max(highest[name], self._taken(each))

        watcher = threading.Thread(target=watch, daemon=True)
        result: dict[str, int] = {}
        watcher.start()
        try:
            yield result
        finally:
            end.set()
            watcher.join()
        result.update({name: highest[name] - before[name] for name in services})

    def _taken(self, service: str) -> int:
        """Return what can't be dropped, in bytes: memory of its processes and files in memory."""
        lines = self.execute(service, "sh", "-c", MEMORY).splitlines()
        figures = dict(line.split() for line in lines)
        for names in TAKEN:
            if names[0] in figures:
                return sum(int(figures.get(name, 0)) for name in names)
        raise CheckError(f"the memory of {service} can't be seen", "is the cgroup mounted there?")

    @contextmanager
    def past_the_proxy(self, service: str, port: int) -> Iterator[tuple[Host | None, str, int]]:
        """Lead a port of this machine to a service's pod, through the cluster's API."""
        name = self._pod(service)["metadata"]["name"]
        ask = self.live.client().connect_get_namespaced_pod_portforward
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(
                target=_relay,
                args=(server, partial(portforward, ask, name, self.live.place, ports=str(port))),
                kwargs={"port": port},
                daemon=True,
            )
            thread.start()
            yield None, "127.0.0.1", server.getsockname()[1]

    def files_in(self, service: str, target: str, *find: str) -> dict[str, Entry]:
        """Return files of what a service's pod has mounted at `target`, by path in it."""
        words = [word.replace("{}", target) for word in find]
        done = self.do_in(service, "sh", "-c", READ, "sh", target, *words)
        if done.returncode:
            raise CheckError(said(["find", target], done), self.logs(service))
        return {each.path[len(target) + 1 :]: each for each in entries(done.stdout)}

    def _exec(
        self, pod: Object, command: Sequence[str], timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a pod's first container.

        Raises:
            CheckError: the cluster does not do it.
            TimeoutError: it takes longer.
        """
        name = pod["metadata"]["name"]
        try:
            channels = stream(
                self.live.client().connect_get_namespaced_pod_exec,
                name,
                self.live.place,
                container=pod["spec"]["containers"][0]["name"],
                command=list(command),
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
            )
        except client.ApiException as error:
            why = str(error.reason).splitlines()[0]
            raise CheckError(f"nothing can be run in {name}: {why}", "make deploy") from error
        try:
            channels.run_forever(timeout=timeout_s)
            if channels.is_open():
                raise TimeoutError
            out, err = (channels.read_channel(one) for one in (STDOUT_CHANNEL, STDERR_CHANNEL))
            return subprocess.CompletedProcess(
                list(command), channels.returncode or 0, out or b"", err or b""
            )
        finally:
            channels.sock.shutdown()


def _ends(pod: Object) -> bool:
    """Tell whether a pod is not to stay: it is being removed, or is a task's."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return "deletionTimestamp" in pod["metadata"] or any(each["kind"] == "Job" for each in owners)


def processes_of(told: str) -> Iterator[Process]:
    """Yield what PROCESSES says."""
    lines = told.splitlines()
    for start in range(0, len(lines) - LINES + 1, LINES):
        pid, name, users, command, environment = lines[start : start + LINES]
        yield Process(
            int(pid),
            name,
            tuple(int(user) for user in users.split()),
            b64decode(command),
            b64decode(environment),
        )


def settled(look: Callable[[], list[Process]]) -> list[Process]:
    """Return the processes that are seen; those of root as they are a moment later.

    What the container's runtime brings into a pod, as a probe's command, is root's until it is
    there.
    """
    found = look()
    if not any(0 in each.users for each in found):
        return found
    later = {each.pid: each for each in look()}
    kept = [later.get(each.pid) if 0 in each.users else each for each in found]
    return [each for each in kept if each is not None]


def _relay(server: socket.socket, forward: Any, port: int) -> None:
    """Lead the first who comes to a port of a pod."""
    try:
        here, _ = server.accept()
    except OSError:  # nobody came
        return
    forwarded = forward()
    there = forwarded.socket(port)
    with here, closing(there):
        back = threading.Thread(target=_pass_on, args=(there, here), daemon=True)
        back.start()
        _pass_on(here, there)
        back.join()


def _pass_on(source: Any, target: Any) -> None:
    """Pass bytes on until one side has ended."""
    try:
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
