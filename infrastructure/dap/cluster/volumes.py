"""Volumes: claims, and what a pod mounts where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dap.cluster import amounts
from dap.cluster.files import ConfigMaps, secret
from dap.cluster.model import Manifest, Volume, VolumeMount
from dap.cluster.source import Part, Source
from dap.settings import choice, refusal

_LONGEST_NAME = 63
# Below the top of a volume, where file systems have folders of their own, as lost+found; and whose
# mode and group stay what the kubelet made them, so that it does not look through all files again.
_DATA = "data"
# tmpfs options that a volume in memory has by itself, or has no need of: one user is in the pod.
_TMPFS_KNOWN = frozenset({"exec", "mode", "uid", "gid", "size", "rw", "nosuid", "nodev"})


def claims(source: Source) -> list[Manifest]:
    """Return the PersistentVolumeClaims of the platform, of the sizes in the settings.

    Raises:
        InputError: the settings give a size to a volume that is not there.
    """
    volumes = source.compose.get("volumes", {})
    cluster = source.cluster
    unknown = [
        source.settings.problem(
            ("cluster", "sizes", name), "is no volume", choice(name, sorted(volumes))
        )
        for name in cluster.sizes
        if name not in volumes
    ]
    if unknown:
        raise refusal(unknown)
    return [_claim(source, name, volume) for name, volume in sorted(volumes.items())]


def size_of(source: Source, name: str) -> int:
    """Return the bytes that a volume is claimed with."""
    return amounts.size_bytes(source.cluster.sizes.get(name, source.cluster.size))


def _claim(source: Source, name: str, volume: Mapping[str, Any]) -> Manifest:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": amounts.quantity(size_of(source, name))}},
    }
    if source.cluster.storage_class is not None:
        spec["storageClassName"] = source.cluster.storage_class
    manifest = source.manifest("PersistentVolumeClaim", name, spec=spec)
    if volume.get("labels"):
        annotations = {str(key): str(value) for key, value in volume["labels"].items()}
        manifest["metadata"]["annotations"] = annotations
    return manifest


@dataclass
class Mounts:
    """What a part's pod mounts, and the objects that hold it; `claims` are names of volumes."""

    volumes: list[Volume] = field(default_factory=list)
    mounts: list[VolumeMount] = field(default_factory=list)
    objects: list[Manifest] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)

    def _add(self, volume: Volume, target: str, **rest: Any) -> None:
        if volume["name"] not in {each["name"] for each in self.volumes}:
            self.volumes.append(volume)
        mount: VolumeMount = {"name": volume["name"], "mountPath": target}
        self.mounts.append(mount | rest)  # type: ignore[arg-type]


def mounts(source: Source, part: Part) -> Mounts:
    """Return what a part's pod mounts.

    Raises:
        InputError: it mounts what a cluster has not, such as a path of the host.
    """
    made = Mounts()
    maps = ConfigMaps(source, part)
    for index, given in enumerate(part.keys.get("volumes") or ()):
        _mount(source, part, made, maps, f"files-{index}", _parsed(part, given))
    made.objects += maps.manifests()
    held = secret(source, part)
    if held is not None:
        manifest, targets = held
        made.objects.append(manifest)
        # Root reads what is its own; all others read by their group, for the file stays root's.
        volume: Volume = {
            "name": "secrets",
            "secret": {
                "secretName": part.name,
                "defaultMode": 0o440 if part.ids[1] else 0o400,
                "items": [{"key": key, "path": key} for key in targets],
            },
        }
        for key, target in targets.items():
            # Each by itself: programs such as sshd look at the folder, too, which is root's then.
            made._add(volume, target, subPath=key, readOnly=True)
    for number, (target, size) in enumerate(_in_memory(part)):
        made._add(_memory(f"memory-{number}", size), target)
    return made


def _parsed(part: Part, given: object) -> dict[str, Any]:
    """Return a mount as a mapping: source, target, read_only, and type where it is no volume."""
    if isinstance(given, str):
        source, target, *options = given.split(":", 2)
        words = set(",".join(options).split(",")) - {""}
        if words - {"ro", "rw", "nocopy"}:
            raise part.refusal("volumes", f"'{given}': allowed options are ro, rw and nocopy")
        return {"source": source, "target": target, "read_only": "ro" in words}
    if not isinstance(given, Mapping):
        raise part.refusal("volumes", "must be SOURCE:TARGET[:OPTIONS] or a mapping")
    known = {"type", "source", "target", "read_only", "tmpfs", "volume", "bind"}
    for key in given:
        if key not in known or key == "bind":
            raise part.refusal("volumes", f"{given['target']}: {key}: can't be done on Kubernetes")
    if set(given.get("volume") or ()) - {"nocopy"}:
        raise part.refusal("volumes", f"{given['target']}: volume: allowed is nocopy")
    return dict(given)


def _mount(
    source: Source, part: Part, made: Mounts, maps: ConfigMaps, name: str, mount: dict[str, Any]
) -> None:
    place, target = str(mount.get("source") or ""), str(mount["target"])
    rest = {"readOnly": True} if mount.get("read_only") else {}
    if mount.get("type") == "tmpfs":
        size = part.read("volumes", amounts.size_bytes, (mount.get("tmpfs") or {}).get("size"))
        made._add(_memory(name, size), target)
    elif not place:
        made._add({"name": name, "emptyDir": {}}, target, **rest)
    elif place.startswith("./"):
        if not rest:
            raise part.refusal("volumes", f"{place}: files of the platform are read-only; say :ro")
        place = place[2:]
        if place in source.files:
            volume = maps.volume(name, place, [source.files[place]])
            made._add(volume, target, subPath=place.rsplit("/", 1)[-1], readOnly=True)
        else:
            below = [file for path, file in source.files.items() if path.startswith(f"{place}/")]
            made._add(maps.volume(name, place, below), target, readOnly=True)
    elif place in source.compose.get("volumes", {}):
        if len(place) > _LONGEST_NAME:
            raise part.refusal("volumes", f"{place}: has more than {_LONGEST_NAME} characters")
        made.claims.append(place)
        claim: Volume = {"name": place, "persistentVolumeClaim": {"claimName": place}}
        made._add(claim, target, subPath=_DATA, **rest)
    else:
        raise part.refusal(
            "volumes", f"'{place}': can't be done on Kubernetes: pods get no path of their node"
        )


def _in_memory(part: Part) -> Iterator[tuple[str, int | None]]:
    given = part.keys.get("tmpfs") or ()
    for each in [given] if isinstance(given, str) else given:
        target, _, text = str(each).partition(":")
        options = dict(option.partition("=")[::2] for option in text.split(",") if option)
        for name, value in options.items():
            if name not in _TMPFS_KNOWN:
                raise part.refusal("tmpfs", f"{target}: {name}: can't be done on Kubernetes")
            owner = dict(zip(("uid", "gid"), map(str, part.ids), strict=True)).get(name)
            if owner is not None and value != owner:
                raise part.refusal("tmpfs", f"{target}: {name}: must be {owner}, as its user")
        yield target, part.read("tmpfs", amounts.size_bytes, options.get("size"))
    shared = part.amount("shm_size", amounts.size_bytes)
    if shared is not None:
        yield "/dev/shm", shared  # noqa: S108  inside the container


def _memory(name: str, size: int | None) -> Volume:
    limit = {} if size is None else {"sizeLimit": amounts.quantity(size)}
    return {"name": name, "emptyDir": {"medium": "Memory", **limit}}
