#!/usr/bin/python
"""Make a directory equal to a rendered tree; called twice by the action plugin of the same name."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import write_atomically

DOCUMENTATION = """
module: dap_tree
short_description: Make a directory equal to a rendered tree
description:
  - Files that are no longer in the tree are removed; what stands in O(keep) is left alone.
  - Without O(archive) only compares and tells what is to be written.
options:
  directory: {description: the tree on the host, type: str, required: true}
  manifest: {description: "path → sha256, mode, uid, secret", type: dict, required: true}
  keep: {description: paths that are not the tree's, type: list, elements: str, required: true}
  archive: {description: tar file on the host that holds the files to write, type: str}
  members:
    description: how each host of the platform is reached; the service host keeps them
    type: list
    elements: dict
"""

MEMBERS = "hosts.json"
TEXT_LIMIT = 200_000  # bytes; larger files are compared without showing a difference


def present(directory: Path, keep: list[str]) -> set[str]:
    """Return the paths of all files and links in the tree but those to keep."""
    found: set[str] = set()
    for parent, folders, files in os.walk(directory):
        relative = os.path.relpath(parent, directory)
        prefix = "" if relative == "." else f"{relative}/"
        folders[:] = [name for name in folders if f"{prefix}{name}" not in keep]
        names = files + [name for name in folders if Path(parent, name).is_symlink()]
        found.update(f"{prefix}{name}" for name in names if f"{prefix}{name}" not in keep)
    return found


def differs(path: Path, wanted: dict[str, Any]) -> str | None:
    """Say how a file differs from the wanted one: missing, content, mode; None if it does not."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "missing"
    if not stat.S_ISREG(status.st_mode):
        return "content"
    if hashlib.sha256(path.read_bytes()).hexdigest() != wanted["sha256"]:
        return "content"
    if stat.S_IMODE(status.st_mode) != wanted["mode"] or status.st_uid != wanted["uid"]:
        return "mode"
    return None


def folder_mode(folder: str) -> int:
    """Return 0700 for folders of secrets: Docker mounts the files, nobody walks there."""
    return 0o700 if folder.split("/", 1)[0] == "secrets" else 0o755


def old_text(path: Path) -> str | None:
    """Return what a text file holds, None for a missing, binary or large one."""
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8") if len(raw) <= TEXT_LIMIT else None
    except (OSError, UnicodeDecodeError):
        return None


def host_of(plan: Path) -> str:
    """Return as which host a tree was put; nothing where none was, or its plan can't be read."""
    try:
        return str(json.loads(plan.read_text(encoding="utf-8"))["host"])
    except (OSError, ValueError, KeyError):
        return ""


def gone(directory: Path, members: list[dict[str, Any]], check: bool) -> list[dict[str, Any]]:
    """Return the hosts of earlier deploys that are none of `members`, which are kept with them.

    A machine may get another name. This one, which keeps them, may get another address, too.
    """
    file = directory / MEMBERS
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    here = host_of(directory / "plan.json")
    places = [each["address"] for each in members]
    lost = [each for each in known if each["address"] not in places and each["name"] != here]
    if not check and known != [*members, *lost]:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps([*members, *lost], indent=2).encode(), 0o600)
    return lost


def make_folders(directory: Path, manifest: dict[str, Any]) -> None:
    """Make the folders that the files stand in, with their modes."""
    folders = {str(parent) for path in manifest for parent in Path(path).parents} - {"."}
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    for folder in sorted(folders):
        place = directory / folder
        if place.is_symlink() or place.is_file():
            place.unlink()
        place.mkdir(exist_ok=True)
        if stat.S_IMODE(place.stat().st_mode) != folder_mode(folder):
            place.chmod(folder_mode(folder))


def write(directory: Path, manifest: dict[str, Any], archive: Path) -> None:
    """Write the files of the archive with owner and mode."""
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None or member.name not in manifest:
                raise ValueError(f"unexpected member {member.name}")
            wanted = manifest[member.name]
            target = directory / member.name
            if target.is_dir() and not target.is_symlink():
                raise ValueError(f"{target} is a directory, a file is wanted")
            write_atomically(target, stream.read(), wanted["mode"], wanted["uid"])


def remove(directory: Path, paths: list[str], keep: list[str]) -> None:
    """Remove files, and the folders that are empty without them."""
    for path in paths:
        (directory / path).unlink()
    for parent, _, _ in os.walk(directory, topdown=False):
        if os.path.relpath(parent, directory) not in (".", *keep) and not os.listdir(parent):
            os.rmdir(parent)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "str", "required": True},
            "manifest": {"type": "dict", "required": True},
            "keep": {"type": "list", "elements": "str", "required": True},
            "archive": {"type": "str"},
            "members": {"type": "list", "elements": "dict"},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    manifest, keep = module.params["manifest"], module.params["keep"]
    how = {path: differs(directory / path, wanted) for path, wanted in manifest.items()}
    to_write = sorted(path for path, difference in how.items() if difference)
    to_remove = sorted(present(directory, keep) - set(manifest))
    changed = bool(to_write or to_remove)
    if module.params["archive"] is None or module.check_mode:
        members = module.params["members"]
        lost = gone(directory, members, module.check_mode) if members else []
        texts = {
            path: old_text(directory / path)
            for path in to_write + to_remove
            if not path.startswith("secrets/") and not manifest.get(path, {}).get("secret")
        }
        module.exit_json(
            changed=changed, write=to_write, remove=to_remove, how=how, texts=texts, gone=lost
        )
    try:
        make_folders(directory, manifest)
        write(directory, manifest, Path(module.params["archive"]))
        remove(directory, to_remove, keep)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{directory}: {error}", remedy="see that root may write there")
    module.exit_json(changed=changed, write=to_write, remove=to_remove)


if __name__ == "__main__":
    main()
