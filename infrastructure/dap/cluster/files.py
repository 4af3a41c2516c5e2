"""Files of the tree as ConfigMaps and Secrets, and as volumes of pods."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from dap.cluster.model import Manifest, Volume
from dap.cluster.source import Part, Source
from dap.render import File

MOST_BYTES = 1024 * 1024
"""What a ConfigMap or Secret holds at most (Kubernetes documentation, ConfigMap)."""
# Also in base64, as what is no text is kept, a request stays below the 1.5 MiB that etcd takes.
_FILL_BYTES = 900_000


class ConfigMaps:
    """The files that a part mounts, in as many ConfigMaps as they take."""

    def __init__(self, source: Source, part: Part) -> None:
        self._source = source
        self._part = part
        self._maps: list[dict[str, File]] = []
        self._where: dict[str, int] = {}

    def volume(self, name: str, place: str, files: Iterable[File]) -> Volume:
        """Return a volume that has `files`, which stand below `place` in the tree.

        Raises:
            InputError: a file is larger than a ConfigMap may be; names it.
        """
        items: dict[int, list[dict[str, Any]]] = {}
        for file in files:
            index = self._put(file)
            path = file.path.removeprefix(place).lstrip("/") or file.path.rsplit("/", 1)[-1]
            item: dict[str, Any] = {"key": _key(file), "path": path}
            if file.mode & 0o111:
                item["mode"] = 0o555
            items.setdefault(index, []).append(item)
        sources = [
            {"configMap": {"name": self._name(index), "items": listed}}
            for index, listed in sorted(items.items())
        ]
        return {"name": name, "projected": {"defaultMode": 0o444, "sources": sources}}

    def manifests(self) -> list[Manifest]:
        """Return the ConfigMaps."""
        return [self._manifest(index) for index in range(len(self._maps))]

    def _put(self, file: File) -> int:
        if file.path in self._where:
            return self._where[file.path]
        size = len(file.content)
        if size > MOST_BYTES:
            raise self._part.refusal(
                "volumes",
                f"{file.path}: has {size} bytes, and a file in a cluster has {MOST_BYTES} at most",
            )
        held = self._maps[-1] if self._maps else None
        if held is None or size + sum(len(e.content) for e in held.values()) > _FILL_BYTES:
            held = {}
            self._maps.append(held)
        held[_key(file)] = file
        self._where[file.path] = len(self._maps) - 1
        return len(self._maps) - 1

    def _name(self, index: int) -> str:
        return self._part.name if index == 0 else f"{self._part.name}.{index + 1}"

    def _manifest(self, index: int) -> Manifest:
        manifest = self._source.manifest("ConfigMap", self._name(index), self._part)
        for key, file in self._maps[index].items():
            try:
                text = file.content.decode()
            except UnicodeDecodeError:
                encoded = base64.b64encode(file.content).decode()
                manifest.setdefault("binaryData", {})[key] = encoded
            else:
                manifest.setdefault("data", {})[key] = text
        return manifest


def secret(source: Source, part: Part) -> tuple[Manifest, dict[str, str]] | None:
    """Return the Secret of a part, and the target of each of its keys; nothing if it has none.

    Raises:
        InputError: its files are larger than a Secret may be.
    """
    data: dict[str, str] = {}
    targets: dict[str, str] = {}
    size = 0
    for each in part.keys.get("secrets") or ():
        path = source.compose["secrets"][each["source"]]["file"].removeprefix("./")
        content = source.files[path].content
        size += len(content)
        key = path.split("/", 3)[-1].replace("/", "__")
        data[key] = base64.b64encode(content).decode()
        target = each["target"]
        targets[key] = target if target.startswith("/") else f"/run/secrets/{target}"
    if not data:
        return None
    if size > MOST_BYTES:
        raise part.refusal("secrets", f"have {size} bytes together; allowed: {MOST_BYTES}")
    manifest = source.manifest("Secret", part.name, part, type="Opaque", data=data)
    return manifest, targets


def _key(file: File) -> str:
    """Return what a file is called in a ConfigMap, where names have no slashes."""
    return "__".join(file.path.split("/")[1:])
