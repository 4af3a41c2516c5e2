"""`compose.yml` of a host: all its folders as one Compose project, with safe defaults filled in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dap.catalogue import ComposeService, HostedFolder, Mount
from dap.errors import InputError
from dap.plan import HostPlan, Image, Plan
from dap.render.tree import File
from dap.render.values import Values

PLATFORM_LABEL = "dap.platform"
CONFIG_LABEL = "dap.config"
MAY_STOP_LABEL = "dap.may-stop"
NETWORKS = ("internal", "edge")
_DEFAULTS: Mapping[str, Any] = {
    "restart": "unless-stopped",
    "init": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "mem_limit": "512m",
    "pids_limit": 256,
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}
_HEADER = (
    "# Rendered: edit platform.yml or the catalogue, not this file. `docker compose up` works.\n"
)
# Text that some YAML reader could take for a number.
_NUMBER = re.compile(r"[-+.]?[0-9]")


class _Dumper(yaml.CSafeDumper):
    """Writes no anchors, and quotes what could be taken for a number."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the base class calls it
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = '"' if _NUMBER.match(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def compose_file(plan: Plan, host: HostPlan, files: Iterable[File], values: Values) -> bytes:
    """Return the host's `compose.yml`; `files` are all others of its tree.

    Raises:
        InputError: a service mounts what its folder does not have.
    """
    project = _Project(plan, host, files, values)
    return (
        _HEADER + yaml.dump(project.data(), Dumper=_Dumper, sort_keys=False, width=120)
    ).encode()


class _Project:
    def __init__(self, plan: Plan, host: HostPlan, files: Iterable[File], values: Values) -> None:
        self.plan = plan
        self.name = plan.settings.name
        self.host = host
        self.files = {file.path: file for file in files}
        self.values = values
        self.images = {image.name: image for image in host.images}
        self.references = {service.name: service.image for service in host.services}
        self.environments = {image.reference for image in plan.images.environments.values()}
        self.label = {PLATFORM_LABEL: self.name}
        self.secrets: dict[str, dict[str, str]] = {}

    def data(self) -> dict[str, Any]:
        services = {
            service.name: self._service(folder, service)
            for folder in self.host.folders
            for service in folder.services
        }
        volumes = {
            f"{folder.name}-{volume}": {
                "name": f"{self.name}_{folder.name}-{volume}",
                **options,
                "labels": {**options.get("labels", {}), **self.label},
            }
            for folder in self.host.folders
            for volume, options in folder.volumes.items()
        }
        if any(each.options.takes for folder in self.host.folders for each in folder.services):
            volumes |= {
                volume: {"name": f"{self.name}_{volume}", "labels": self.label}
                for volume in self.plan.left
            }
        networks = {
            name: {
                "name": f"{self.name}_{name}",
                **({"internal": True} if name == "internal" else {}),
                "labels": self.label,
            }
            for name in NETWORKS
        }
        parts = {
            "name": self.name,
            "services": services,
            "networks": networks,
            "volumes": volumes,
            "secrets": self.secrets,
        }
        return {key: value for key, value in parts.items() if value}

    def _service(self, folder: HostedFolder, service: ComposeService) -> dict[str, Any]:
        options = service.options
        out: dict[str, Any] = {"image": self.references[service.name]}
        image = self.images.get(service.name)
        if image is not None and self.host.host.service:
            out["build"] = _build(image)
        if image is not None or out["image"].startswith("dap/"):
            # A name of ours on a public registry would be somebody else's image.
            out["pull_policy"] = "never"
        out |= {**_DEFAULTS, **service.keys}
        if options.may_stop:
            out["restart"] = "on-failure"
        if out["read_only"]:
            out.setdefault("tmpfs", ["/tmp"])  # noqa: S108  inside the container
        self._limits(service.name, out)
        if options.gpus:
            out["deploy"] = {"resources": {"reservations": {"devices": [_gpus(options.gpus)]}}}
        if service.networks:
            out["networks"] = list(service.networks)
        if options.entry:
            self._entry(out)
        if options.checks and self.host.host.place is None:
            raise InputError(
                f"{service.where}.x-dap.checks: only with target: kubernetes", "say so around it"
            )
        if options.task or options.checks:
            out |= {"profiles": ["task"], "restart": "no"}
        mounts = [self._mount(folder, service, mount) for mount in service.mounts]
        if mounts:
            out["volumes"] = [mount for mount, _ in mounts]
        if options.takes:
            self._take(options.takes, out)
        mounted = {file.path: file for _, files in mounts for file in files}
        for path in options.live:
            whole = f"config/{folder.name}/{path.removeprefix('config/')}"
            source = Path(path).parent.as_posix()
            places = [mount.source.removeprefix("./").rstrip("/") for mount in service.mounts]
            if whole not in mounted or source not in places:
                # A file that is mounted alone stays the one it was when another takes its place.
                raise InputError(
                    f"{service.where}.x-dap.live: '{path}': its folder must be mounted, "
                    f"as ./{source}"
                )
            del mounted[whole]
        if service.secrets:
            out["secrets"] = []
        for name, target in service.secrets.items():
            path = f"secrets/{folder.name}/{service.name}/{name}"
            source = f"{service.name}-{name.replace('/', '-')}"
            self.secrets[source] = {"file": f"./{path}"}
            out["secrets"].append({"source": source, "target": target})
            mounted[path] = self.files[path]
        out["labels"] = {**_labels(service), **self.label}
        if options.may_stop:
            out["labels"][MAY_STOP_LABEL] = "true"
        if mounted:
            out["labels"][CONFIG_LABEL] = self._digest(mounted)
        described = options.model_dump(mode="json", exclude_defaults=True)
        if described:
            out["x-dap"] = described
        return out

    def _limits(self, name: str, out: dict[str, Any]) -> None:
        limits = self.plan.settings.resources.get(name)
        if limits is None:
            return
        if limits.cpus is not None:
            out["cpus"] = limits.cpus
        if limits.memory is not None:
            out["mem_limit"] = limits.memory

    def _entry(self, out: dict[str, Any]) -> None:
        """Give the proxy the names of all that it serves, and publish its ports."""
        aliases = list(self.plan.names(self.host))
        out["networks"] = {name: {"aliases": aliases} for name in NETWORKS}
        address = self.plan.published_at(self.host)
        out["ports"] = [
            {"target": port, "published": str(port), "host_ip": address}
            for port in self.plan.published_ports(self.host)
        ]

    def _take(self, place: str, out: dict[str, Any]) -> None:
        """Let a service read what folders left that are on no host, at `place`/KIND/FOLDER."""
        left = self.plan.left
        if left:
            out["volumes"] = [
                *out.get("volumes", []),
                *(f"{name}:{place}/{each.kind}/{each.folder}:ro" for name, each in left.items()),
            ]
            groups = {str(each.group) for each in left.values()}
            out["group_add"] = sorted({*map(str, out.get("group_add", [])), *groups})

    def _mount(
        self, folder: HostedFolder, service: ComposeService, mount: Mount
    ) -> tuple[Any, list[File]]:
        source = mount.source
        files: list[File] = []
        if mount.of_folder:
            source, files = self._of_tree(folder, service, mount.source)
            source = f"./{source}"
        elif source in folder.volumes:
            source = f"{folder.name}-{source}"
        if isinstance(mount.options, str):
            return ":".join(filter(None, (source, mount.target, mount.options))), files
        whole = {**({"source": source} if source else {}), "target": mount.target, **mount.options}
        return whole, files

    def _of_tree(
        self, folder: HostedFolder, service: ComposeService, source: str
    ) -> tuple[str, list[File]]:
        """Return where a path of the folder stands in the tree, and the files there."""
        path = source.removeprefix("./").rstrip("/")
        if path == "config" or path.startswith("config/"):
            path = "/".join(filter(None, ("config", folder.name, path[len("config/") :])))
        elif path != "content":
            raise InputError(f"{service.where}.volumes: '{source}': must be below ./config/")
        files = [
            file
            for place, file in self.files.items()
            if place == path or place.startswith(f"{path}/")
        ]
        if not files:
            raise InputError(f"{service.where}.volumes: '{source}': there is no such file")
        return path, files

    def _digest(self, mounted: Mapping[str, File]) -> str:
        digest = hashlib.sha256()
        for path, file in sorted(mounted.items()):
            if file.secret:
                content = self.values.digest(file.content)
            else:
                content = hashlib.sha256(file.content).hexdigest()
            digest.update(f"{path}\0{content}\0".encode())
        return digest.hexdigest()[:16]


def _gpus(wanted: int | str | Iterable[int | str]) -> dict[str, Any]:
    """Return the devices that Compose reserves for `all`, a number or a list of GPUs."""
    one = {"driver": "nvidia", "capabilities": ["gpu"]}
    if isinstance(wanted, int | str):
        return {**one, "count": wanted}
    return {**one, "device_ids": [str(each) for each in wanted]}


def _build(image: Image) -> dict[str, Any]:
    options = {
        "dockerfile": image.dockerfile,
        "target": image.target,
        "args": dict(image.args),
        "additional_contexts": dict(image.contexts),
    }
    return {
        "context": f"./{image.context}",
        **{key: value for key, value in options.items() if value},
    }


def _labels(service: ComposeService) -> dict[str, str]:
    labels = service.keys.get("labels") or {}
    if isinstance(labels, list):
        return dict(str(label).partition("=")[::2] for label in labels)
    return dict(labels)
