"""Values on the wire between the engine and a provider: numbers, secrets, what is not known yet."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Object = dict[str, Any]


def unpack(struct: struct_pb2.Struct) -> Object:
    """Read an object off the wire; secrets stay wrapped."""
    return dict(_whole(json_format.MessageToDict(struct)))


def pack(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write an object for the wire."""
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def _whole(value: Any) -> Any:
    """The wire knows no integers: 80 arrives as 80.0, which Kubernetes refuses."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def secret(value: Any) -> Object:
    """Wrap a value so that the engine encrypts it."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_secret(value: Any) -> bool:
    """Whether a value is wrapped."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def reveal(value: Any) -> Any:
    """Take all wraps off."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, dict):
        return {key: reveal(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [reveal(each) for each in value]
    return value


def unknown(value: Any) -> bool:
    """Whether a part of it is not known before another resource is made."""
    if isinstance(value, dict):
        return any(unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(unknown(each) for each in value)
    return bool(value == UNKNOWN)


def cover(live: Any, like: Any) -> Any:
    """Wrap what another object wraps at the same place."""
    if is_secret(like):
        return secret(live)
    if isinstance(live, dict) and isinstance(like, dict):
        return {key: cover(each, like.get(key)) for key, each in live.items()}
    if isinstance(live, list) and isinstance(like, list):
        more = [*like, *[None] * len(live)]
        return [cover(each, other) for each, other in zip(live, more, strict=False)]
    return live


def cover_secret(thing: Object, like: Object) -> Object:
    """Wrap as another object does, and a Secret's data even where nobody wrapped it."""
    covered = dict(cover(thing, like))
    if covered.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in covered:
                covered[key] = secret(reveal(covered[key]))
    return covered


def shaped(live: Any, like: Any) -> Any:
    """What is there of the fields that somebody has asked for: none beside them."""
    if isinstance(live, dict) and isinstance(like, dict):
        return {key: shaped(live[key], each) for key, each in like.items() if key in live}
    if isinstance(live, list) and isinstance(like, list) and len(live) == len(like):
        return [shaped(each, other) for each, other in zip(live, like, strict=True)]
    return live
