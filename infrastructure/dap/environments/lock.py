"""`environments/lock.yml`: the image of each environment that a pipeline built, tested and pushed.

It is written as a commit of that pipeline; reverting the commit moves back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from dap.errors import InputError

PATH = "environments/lock.yml"
_HEADER = """\
# Images that pipelines built, tested and pushed. Jobs of this repository run in them, and a deploy
# takes them where `content` is what the folder holds. Not edited by hand; `git revert` moves back.
"""
_CONTENT = re.compile(r"[0-9a-f]{12}")
_IMAGE = re.compile(r"environments/([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Locked:
    """What is locked of an environment.

    `content` stands for what it is made of (`content.contents`), `image` for the image in the
    platform's registry: environments/NAME@sha256:DIGEST.
    """

    content: str
    image: str


def read_lock(text: str) -> dict[str, Locked]:
    """Return the entries of a lock file by the environment's name.

    Raises:
        InputError: it is not what `write_lock` gives.
    """
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{PATH}: {error}", _REMEDY) from error
    if not isinstance(data, dict):
        raise InputError(f"{PATH}: must hold an entry for each environment", _REMEDY)
    return {str(name): _entry(str(name), entry) for name, entry in data.items()}


_REMEDY = f"take an earlier one from git (git checkout COMMIT -- {PATH}), or delete it"


def _entry(name: str, entry: object) -> Locked:
    if not isinstance(entry, dict) or entry.keys() != {"content", "image"}:
        raise InputError(f"{PATH}: {name}: must have content and image", _REMEDY)
    content, image = str(entry["content"]), str(entry["image"])
    if not _CONTENT.fullmatch(content):
        raise InputError(f"{PATH}: {name}: content: must be twelve hex digits", _REMEDY)
    found = _IMAGE.fullmatch(image)
    if found is None or found[1] != name:
        allowed = f"environments/{name}@sha256:…"
        raise InputError(f"{PATH}: {name}: image: must be {allowed}, not {image}", _REMEDY)
    return Locked(content, image)


def write_lock(entries: Mapping[str, Locked]) -> str:
    """Return the text of a lock file."""
    if not entries:
        return _HEADER + "{}\n"
    return _HEADER + "".join(
        f'{name}:\n  content: "{entry.content}"\n  image: {entry.image}\n'
        for name, entry in sorted(entries.items())
    )
