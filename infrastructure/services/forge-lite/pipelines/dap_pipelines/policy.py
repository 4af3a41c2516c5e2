"""What a pipeline may ask of the Docker engine.

gitlab-ci-local puts parts of `.gitlab-ci.yml` on shell command lines, so whoever may push can run
commands where it runs. It therefore has no engine socket but a gateway that lets through what this
module allows, and writes the limits and labels into what is made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from dap_pipelines.values import JobLimits, size_in_bytes

# What package managers and `su` in images that run as root need, and no more.
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"]
# What building images without root needs: a user namespace with more than one user.
BUILDER_CAPABILITIES = ["SETGID", "SETUID"]
BUILDER_UID = 1000
BUILDER_STORE = "/var/lib/image-builder"
# The engine's own profile lets nobody without CAP_SYS_ADMIN make namespaces and mount in them.
# This one refuses what no build needs and what has led out of namespaces before.
BUILDER_SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": [
                *("acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime"),
                *("delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick"),
                *("init_module", "io_uring_enter", "io_uring_register", "io_uring_setup"),
                *("ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl"),
                *("lookup_dcookie", "mbind", "migrate_pages", "move_pages", "nfsservctl"),
                *("open_by_handle_at", "perf_event_open", "process_vm_readv"),
                *("process_vm_writev", "ptrace", "quotactl", "reboot", "request_key"),
                *("set_mempolicy", "settimeofday", "swapoff", "swapon", "syslog", "userfaultfd"),
            ],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1,
        }
    ],
}
# Where the host itself runs out of memory, a job goes before a service (0) does.
OOM_SCORE = 500
VOLUME = re.compile(r"gcl-[A-Za-z0-9_-]{1,200}")
NETWORK = re.compile(r"gitlab-ci-local-[0-9]{1,10}")
CONTAINER_CALLS = {
    "GET": {"json", "archive", "logs"},
    "HEAD": {"archive"},
    "PUT": {"archive"},
    "POST": {"start", "attach", "wait", "resize", "kill", "stop"},
}


class RefusedError(Exception):
    """The call is not allowed; the message says why."""


def device_requests(gpus: int | str | list[int | str]) -> list[dict[str, Any]]:
    """Return the engine's `DeviceRequests` for GPUs as the settings ask for them."""
    if not gpus:
        return []
    request: dict[str, Any] = {"Driver": "nvidia", "Capabilities": [["gpu"]]}
    if isinstance(gpus, list):
        return [{**request, "DeviceIDs": [str(each) for each in gpus]}]
    return [{**request, "Count": -1 if gpus == "all" else gpus}]


@dataclass(frozen=True)
class Builder:
    """Whose containers may build images: those of `image`; `volume` keeps layers between builds."""

    image: str
    volume: str


def builder_options(builder: Builder) -> dict[str, Any]:
    """Return what a container that builds images has otherwise than a job's.

    It is no more root than another: its user is not, and what makes its processes root in a
    namespace of their own are two programs that may map the users set aside for it.
    """
    return {
        "CapAdd": BUILDER_CAPABILITIES,
        # AppArmor's profile for containers refuses every mount, in a namespace of one's own too.
        "SecurityOpt": [f"seccomp={json.dumps(BUILDER_SECCOMP)}", "apparmor=unconfined"],
        "Binds": [f"{builder.volume}:{BUILDER_STORE}"],
    }


@dataclass
class Policy:
    """The policy of one job at one engine, and what it has made there so far.

    `builder` tells the containers that may build images, in a pipeline that may. Containers are
    known by id, volumes by name, networks by both (id and name).
    """

    labels: dict[str, str]
    network: str
    limits: JobLimits
    builder: Builder | None = None
    containers: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    networks: dict[str, str] = field(default_factory=dict)

    def check(self, method: str, path: str, query: dict[str, str]) -> str:
        """Return the kind of a call: plain, or what is made (container, volume, network).

        `path` is without the version of the API.

        Raises:
            RefusedError: the call is not allowed.
        """
        if (method, path) in {
            ("GET", "/_ping"),
            ("HEAD", "/_ping"),
            ("GET", "/version"),
        }:
            return "plain"
        if method == "GET" and re.fullmatch(r"/images/[^?]+/json", path):
            return "plain"
        if (method, path) == ("POST", "/images/create") and query.get("fromImage"):
            if "fromSrc" in query:
                raise RefusedError("importing images is not allowed")
            return "plain"
        for thing in ("container", "volume", "network"):
            if (method, path) == ("POST", f"/{thing}s/create"):
                return thing
        match = re.fullmatch(r"/(containers|volumes|networks)/([^/]+)(?:/([a-z]+))?", path)
        if match is None:
            raise RefusedError(f"{method} {path} is not allowed")
        things, name, verb = match.groups()
        known = {
            "containers": self.containers,
            "volumes": self.volumes,
            "networks": {*self.networks, *self.networks.values()},
        }[things]
        # The engine takes the start of an id for the id.
        start = re.fullmatch(r"[0-9a-f]{12,63}", name) and things != "volumes"
        meant = {other for other in known if name == other or (start and other.startswith(name))}
        if not meant:
            raise RefusedError(f"{things[:-1]} {name} is not this pipeline's")
        if method == "DELETE" and verb is None:
            self._forget(things, meant)
            return "plain"
        if things == "containers" and verb in CONTAINER_CALLS.get(method, ()):
            return "plain"
        raise RefusedError(f"{method} {path} is not allowed")

    def _forget(self, things: str, names: set[str]) -> None:
        # Another pipeline may make a volume or network of that name next.
        if things == "volumes":
            self.volumes -= names
        elif things == "networks":
            self.networks = {
                key: name for key, name in self.networks.items() if not {key, name} & names
            }

    def container(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the body for a new container: what was asked and is allowed, and our limits.

        Raises:
            RefusedError: it asks for a mount or network that is not the pipeline's.
        """
        host = asked.get("HostConfig") or {}
        binds = list(host.get("Binds") or [])
        for bind in binds:
            source, _, target = bind.partition(":")
            if source not in self.volumes or not target.startswith("/"):
                raise RefusedError(f"volume {source} is not this pipeline's")
        if host.get("Mounts") or host.get("Privileged") or host.get("Devices"):
            raise RefusedError("mounts, devices and privileged containers are not allowed")
        network = host.get("NetworkMode") or "default"
        endpoint: dict[str, Any] = {}
        if network in ("default", "bridge"):
            network = self.network
        elif not self.has_network(network):
            raise RefusedError(f"network {network} is not this pipeline's")
        else:
            given = (asked.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
            endpoint = {"Aliases": (given.get(network) or {}).get("Aliases") or []}
        body = {
            key: asked[key]
            for key in (
                "Image",
                "Cmd",
                "Entrypoint",
                "Env",
                "WorkingDir",
                "User",
                "OpenStdin",
                "StdinOnce",
                "AttachStdin",
                "AttachStdout",
                "AttachStderr",
            )
            if asked.get(key) is not None
        }
        # The engine's own copy of the output would not be masked. Services' is asked for.
        is_job = bool(asked.get("WorkingDir"))
        log = "none" if is_job else "json-file"
        memory = size_in_bytes(self.limits.memory)
        options: dict[str, Any] = {
            "CapAdd": CAPABILITIES,
            "SecurityOpt": ["no-new-privileges:true"],
            "Binds": [],
        }
        if self.builder is not None and is_job and asked.get("Image") == self.builder.image:
            options = builder_options(self.builder)
            body["User"] = f"{BUILDER_UID}:{BUILDER_UID}"
        return {
            **body,
            "Labels": self.labels,
            "HostConfig": {
                **options,
                "Binds": [*binds, *options["Binds"]],
                "NetworkMode": network,
                "AutoRemove": bool(host.get("AutoRemove")),
                "Init": True,
                "CapDrop": ["ALL"],
                "Memory": memory,
                "MemorySwap": memory,
                "NanoCpus": int(self.limits.cpus * 1e9),
                "PidsLimit": self.limits.pids,
                "OomScoreAdj": OOM_SCORE,
                "DeviceRequests": device_requests(self.limits.gpus) if is_job else [],
                "LogConfig": {"Type": log, "Config": {"max-size": "10m"} if log != "none" else {}},
            },
            "NetworkingConfig": {"EndpointsConfig": {network: endpoint}},
        }

    def has_network(self, network: str) -> bool:
        """Return whether a network, by id or name, is one that this pipeline made."""
        return network in self.networks or network in self.networks.values()

    def volume(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the body for a new volume.

        Raises:
            RefusedError: its name is not one that gitlab-ci-local gives, or it has a driver.
        """
        name = str(asked.get("Name", ""))
        if (
            not VOLUME.fullmatch(name)
            or asked.get("DriverOpts")
            or asked.get("Driver")
            not in (
                None,
                "",
                "local",
            )
        ):
            raise RefusedError(f"volume {name} is not allowed")
        return {"Name": name, "Labels": self.labels}

    def new_network(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the body for a new network.

        Raises:
            RefusedError: its name is not one that gitlab-ci-local gives.
        """
        name = str(asked.get("Name", ""))
        if not NETWORK.fullmatch(name):
            raise RefusedError(f"network {name} is not allowed")
        return {
            "Name": name,
            "Driver": "bridge",
            "Internal": True,
            "CheckDuplicate": True,
            "Labels": self.labels,
        }
