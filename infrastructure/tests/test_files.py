"""What lies on the host is what the settings say, and is open to those alone whom it concerns."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import testinfra
from acceptance import Deployed, expect_none
from dap.engine.inventory import KEEP

REMEDY = "make plan shows what differs; make deploy sets it right"


def files_below(directory: Path) -> Iterator[str]:
    """Yield the paths of all files in a tree but those that the engine keeps there."""
    for parent, folders, files in os.walk(directory):
        prefix = "" if Path(parent) == directory else f"{Path(parent).relative_to(directory)}/"
        folders[:] = [name for name in folders if f"{prefix}{name}" not in KEEP]
        yield from (f"{prefix}{name}" for name in files if f"{prefix}{name}" not in KEEP)


def test_modes_and_owners(platform: Deployed) -> None:
    """Of every file and folder of the tree."""
    problems = []
    wanted = {file.path: (file.mode, file.uid) for file in platform.prepared.trees[0].files}
    folders = {str(parent) for path in wanted for parent in Path(path).parents}
    wanted |= {path: (0o700 if path.split("/")[0] == "secrets" else 0o755, 0) for path in folders}
    for path, (mode, uid) in sorted(wanted.items()):
        try:
            status = (platform.directory / path).lstat()
        except FileNotFoundError:
            continue  # told by the check of the contents
        found = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        if found != (mode, uid, uid):
            problems.append(
                f"{platform.directory / path} is {found[0]:04o} of {found[1]}:{found[2]}"
                f" where {mode:04o} of {uid}:{uid} is meant"
            )
    expect_none(problems, f"{REMEDY}; or chown and chmod it")


def test_contents(platform: Deployed) -> None:
    """Of every file of the tree, and nothing beside them."""
    problems = []
    wanted = {file.path: file.content for file in platform.prepared.trees[0].files}
    for path, content in wanted.items():
        file = platform.directory / path
        if not file.is_file() or file.is_symlink():
            problems.append(f"{file} is missing")
        elif file.read_bytes() != content:
            problems.append(f"{file} is not what the settings give")
    beside = set(files_below(platform.directory)) - wanted.keys() - {"owner"}
    problems += [f"{platform.directory / path} is not of the tree" for path in sorted(beside)]
    expect_none(problems, REMEDY)


def test_files_outside_the_tree(platform: Deployed) -> None:
    """What a deploy puts elsewhere: trust in the CA, names, and what the engine notes down."""
    host = testinfra.get_host("local://")
    registries = [route for route in platform.prepared.plan.routes if route.registry]
    authority = platform.prepared.secrets["tls/ca-certificate"]
    wanted: dict[str, tuple[int, str | None]] = {
        f"/usr/local/share/ca-certificates/dap-{platform.name}.crt": (0o644, authority),
        str(platform.directory / "owner"): (0o444, None),
        str(platform.directory / "audit.log"): (0o640, None),
    }
    for route in registries:
        place = route.url.removeprefix("https://")
        wanted[f"/etc/docker/certs.d/{place}/ca.crt"] = (0o644, authority)
    problems = []
    for path, (mode, content) in wanted.items():
        file = host.file(path)
        if not file.exists:
            problems.append(f"{path} is missing")
        elif (file.mode, file.uid) != (mode, 0):
            problems.append(f"{path} is {file.mode:04o} of {file.user}, not {mode:04o} of root")
        elif content is not None and file.content_string != content:
            problems.append(f"{path} is not the platform's CA")
    names = host.file("/etc/hosts")
    if names.mode & 0o022 or names.uid:
        problems.append(f"{names.path} is {names.mode:04o} of {names.user}: others may write it")
    expect_none(problems, REMEDY)
