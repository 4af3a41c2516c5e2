"""A folder's `compose.yml`, rendered for one host, parsed and held against the conventions."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from dap.catalogue.folders import LABEL, ServiceFolder, model_problem, yaml_problem
from dap.catalogue.model import FolderOptions, ServiceOptions
from dap.catalogue.templates import Templates
from dap.errors import InputError

NETWORKS = ("internal", "edge")
_USER = re.compile(r"([0-9]+):([0-9]+)")
_TOP = {"services", "volumes", "x-dap"}
_REFUSED = {
    "ports": "only the entry publishes ports: use x-dap.routes or x-dap.streams",
    "configs": "mount files of config/ under volumes: instead",
    "env_file": "use environment:, and secrets: for what is secret",
    "extends": "write the service out",
    "container_name": "Compose names containers after the platform and the service",
    "profiles": "a one-shot service says x-dap.task: true",
    "scale": "name each service",
}


@dataclass(frozen=True)
class Mount:
    """One entry of `volumes:`; `source`: a volume, a path of the folder (`./…`) or of the host."""

    source: str
    target: str
    options: Mapping[str, Any] | str

    @property
    def of_folder(self) -> bool:
        """Whether the source is a path of the folder."""
        return self.source.startswith("./")

    @property
    def of_host(self) -> bool:
        """Whether the source is a path of the host."""
        return self.source.startswith(("/", "~", "../"))


@dataclass(frozen=True)
class ComposeService:
    """A compose service as its folder writes it; `keys` is all but what has a field here.

    `secrets` is name → where it appears: a path, or a name in /run/secrets.
    """

    name: str
    where: str
    keys: Mapping[str, Any]
    options: ServiceOptions
    mounts: tuple[Mount, ...]
    secrets: Mapping[str, str]
    networks: tuple[str, ...]
    build: Mapping[str, Any] | None
    image: str | None
    uid: int


@dataclass(frozen=True)
class HostedFolder:
    """A service folder as it stands on one host."""

    folder: ServiceFolder
    options: FolderOptions
    services: tuple[ComposeService, ...]
    volumes: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name


class _Loader(yaml.CSafeLoader):
    """Refuses a key that is there twice; plain YAML loaders keep the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class ComposeReader:
    """Renders the `compose.yml` of folders; parses each text once, since hosts are much alike."""

    def __init__(self) -> None:
        self._templates = Templates()
        self._parsed: dict[tuple[str, str], HostedFolder | None] = {}

    def read(self, folder: ServiceFolder, context: Mapping[str, Any]) -> HostedFolder | None:
        """Render and check a folder for the host that `context` describes.

        Returns None where the template yields nothing: the folder is not on that host. One that
        yields `x-dap` alone has only content there.

        Raises:
            InputError: a template, YAML or convention error; names the file and the key.
        """
        where = folder.compose.where
        text = self._templates.render(where, folder.compose.text, context)
        if (where, text) not in self._parsed:
            self._parsed[where, text] = _parse(folder, where, text)
        return self._parsed[where, text]


def _parse(folder: ServiceFolder, where: str, text: str) -> HostedFolder | None:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506  a subclass of the safe loader
    except yaml.YAMLError as error:
        raise InputError(f"{where} (as rendered): {yaml_problem(error)}") from error
    data = _mapping(where, "the file", data or {})
    services = _mapping(where, "services", data.get("services") or {})
    if not services and "x-dap" not in data:
        return None
    for key in data:
        if key not in _TOP and not str(key).startswith("x-"):
            raise InputError(
                f"{where}: {key}: not allowed here; allowed are services, volumes and x-dap"
            )
    try:
        options = FolderOptions.model_validate(data.get("x-dap") or {})
    except ValidationError as error:
        raise InputError(model_problem(where, error, "x-dap")) from error
    volumes = {
        name: _mapping(where, f"volumes.{name}", value or {})
        for name, value in _mapping(where, "volumes", data.get("volumes") or {}).items()
    }
    return HostedFolder(
        folder=folder,
        options=options,
        services=tuple(
            _service(where, name, _mapping(where, f"services.{name}", value), volumes)
            for name, value in services.items()
        ),
        volumes=volumes,
    )


def _service(
    where: str, name: str, data: Mapping[str, Any], volumes: Mapping[str, Any]
) -> ComposeService:
    place = f"{where}: services.{name}"
    if not isinstance(name, str) or not LABEL.fullmatch(name):
        raise InputError(f"{place}: the name must be a DNS label (a-z, 0-9 and -)")
    for key, why in _REFUSED.items():
        if key in data:
            raise InputError(f"{place}.{key}: not allowed: {why}")
    try:
        options = ServiceOptions.model_validate(data.get("x-dap") or {})
    except ValidationError as error:
        raise InputError(model_problem(where, error, f"services.{name}.x-dap")) from error
    mounts = tuple(
        _mount(f"{place}.volumes[{index}]", value)
        for index, value in enumerate(_list(place, "volumes", data))
    )
    for mount in mounts:
        if not (mount.of_folder or mount.of_host or not mount.source or mount.source in volumes):
            raise InputError(
                f"{place}.volumes: '{mount.source}' is not declared under volumes:; "
                f"declared are {', '.join(volumes) or 'none'}"
            )
    for key, named in (("backup", options.backup), ("keeps", (options.keeps,))):
        for volume in named:
            if volume is not None and volume not in {mount.source for mount in mounts}:
                raise InputError(f"{place}.x-dap.{key}: '{volume}' is no volume of this service")
    networks = tuple(_list(place, "networks", data)) or ("internal",)
    for network in networks:
        if network not in NETWORKS:
            raise InputError(f"{place}.networks: '{network}'; allowed are {', '.join(NETWORKS)}")
    secrets = dict(
        _secret(f"{place}.secrets[{index}]", value)
        for index, value in enumerate(_list(place, "secrets", data))
    )
    build = data.get("build")
    if isinstance(build, str):
        build = {"context": build}
    if build is not None:
        build = _mapping(where, f"services.{name}.build", build)
        if not re.fullmatch(r"\.(/.*)?", str(build.get("context"))):
            raise InputError(f"{place}.build.context: must be '.' or a path below it")
    if build is None and not data.get("image"):
        raise InputError(f"{place}: image: or build: is missing")
    _exceptions(place, data, options, mounts)
    taken = {"x-dap", "volumes", "secrets", "networks", "build", "image"}
    if "network_mode" in data:
        networks = ()
    return ComposeService(
        name=name,
        where=place,
        keys={key: value for key, value in data.items() if key not in taken},
        options=options,
        mounts=mounts,
        secrets=secrets,
        networks=networks,
        build=build,
        image=data.get("image"),
        uid=_uid(data),
    )


def _mount(place: str, value: Any) -> Mount:
    if isinstance(value, str):
        parts = value.split(":", 2)
        if len(parts) < 2:
            raise InputError(f"{place}: '{value}': must be SOURCE:TARGET[:OPTIONS]")
        return Mount(parts[0], parts[1], parts[2] if len(parts) == 3 else "")
    if isinstance(value, dict) and "target" in value:
        rest = {key: part for key, part in value.items() if key not in ("source", "target")}
        return Mount(str(value.get("source", "")), str(value["target"]), rest)
    raise InputError(f"{place}: must be SOURCE:TARGET[:OPTIONS] or a mapping with target:")


def _secret(place: str, value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        return value, value
    if isinstance(value, dict) and value.keys() == {"source", "target"}:
        source, target = str(value["source"]), str(value["target"])
        if target.startswith("/"):
            return source, target
    raise InputError(f"{place}: must be a name, or a mapping of source: NAME and target: /PATH")


def _uid(data: Mapping[str, Any]) -> int:
    match = _USER.fullmatch(str(data.get("user", "")))
    return int(match[1]) if match else 0


_DEVIATES: dict[str, Callable[[Any], bool]] = {
    "privileged": bool,
    "cap_add": bool,
    "cap_drop": lambda value: value != ["ALL"],
    "security_opt": lambda value: "no-new-privileges:true" not in (value or []),
    "read_only": lambda value: value is False,
    "devices": bool,
    "pid": bool,
    "ipc": bool,
    "network_mode": bool,
    "userns_mode": bool,
}


def _exceptions(
    place: str, data: Mapping[str, Any], options: ServiceOptions, mounts: tuple[Mount, ...]
) -> None:
    """Raise InputError where a service is less confined than the default and does not say why."""
    found = {key for key, deviates in _DEVIATES.items() if key in data and deviates(data[key])}
    if _uid(data) == 0:
        found.add("user")
    if any(mount.of_host for mount in mounts):
        found.add("volumes")
    for key in sorted(found - options.exceptions.keys()):
        hint = ' (user: "UID:GID" in numbers, not 0)' if key == "user" else ""
        raise InputError(
            f"{place}.{key}: deviates from the safe default{hint}; "
            f"say why in x-dap.exceptions.{key} or leave it out"
        )
    for key in options.exceptions:
        if key not in found and key not in data:
            raise InputError(f"{place}.x-dap.exceptions.{key}: the service does not set '{key}'")


def _mapping(where: str, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {key}: must be a mapping, found {type(value).__name__}")
    return value


def _list(place: str, key: str, data: Mapping[str, Any]) -> list[Any]:
    value = data.get(key) or []
    if not isinstance(value, list):
        raise InputError(f"{place}.{key}: must be a list, found {type(value).__name__}")
    return value
