"""What lies on a host is what the settings say, and is open to those alone whom it concerns."""

from __future__ import annotations

from pathlib import Path, PurePath

from acceptance import Deployed, Host, expect_none
from dap.engine.inventory import KEEP

HOSTS = "/etc/hosts"
REMEDY = "make plan shows what differs; make deploy sets it right"


def is_kept(path: str) -> bool:
    """Whether the engine keeps it in the tree's folder, or something above it."""
    return any(str(each) in KEEP for each in (PurePath(path), *PurePath(path).parents))


def test_modes_and_owners(host: Host) -> None:
    """Of every file and folder of the tree."""
    problems = []
    wanted = {file.path: (file.mode, file.uid) for file in host.tree.files}
    folders = {str(parent) for path in wanted for parent in Path(path).parents}
    wanted |= {path: (0o700 if path.split("/")[0] == "secrets" else 0o755, 0) for path in folders}
    for path, (mode, uid) in sorted(wanted.items()):
        there = host.files_of_tree.get(path)
        if there is None:
            continue  # told by the check of the contents
        if (there.mode, there.owner) != (mode, (uid, uid)):
            problems.append(
                f"{host.directory / path} is {there.mode:04o} of {there.owner[0]}:{there.owner[1]}"
                f" where {mode:04o} of {uid}:{uid} is meant"
            )
    expect_none(problems, f"{REMEDY}; or chown and chmod it")


def test_contents(host: Host) -> None:
    """Of every file of the tree, and nothing beside them."""
    problems = []
    wanted = {file.path: file.content for file in host.tree.files}
    for path, content in wanted.items():
        there = host.files_of_tree.get(path)
        if there is None or there.content is None:
            problems.append(f"{host.directory / path} is missing")
        elif there.content != content:
            problems.append(f"{host.directory / path} is not what the settings give")
    files = {path for path, each in host.files_of_tree.items() if not each.folder}
    beside = {path for path in files if not is_kept(path)} - wanted.keys() - {"owner"}
    problems += [f"{host.directory / path} is not of the tree" for path in sorted(beside)]
    expect_none(problems, REMEDY)


def test_files_outside_the_tree(platform: Deployed, host: Host) -> None:
    """What a deploy puts elsewhere: trust in the CA, names, and what the engine notes down."""
    registries = [route for route in platform.prepared.plan.routes if route.registry]
    authority = platform.prepared.secrets["tls/ca-certificate"]
    wanted: dict[str, tuple[int, str | None]] = {
        f"/usr/local/share/ca-certificates/dap-{platform.name}.crt": (0o644, authority),
        str(host.directory / "owner"): (0o444, None),
        str(host.directory / "audit.log"): (0o640, None),
    }
    for route in registries:
        place = route.url.removeprefix("https://")
        wanted[f"/etc/docker/certs.d/{place}/ca.crt"] = (0o644, authority)
    problems = []
    there = host.files(*wanted, HOSTS, "-maxdepth", "0")
    for path, (mode, content) in wanted.items():
        if path not in there:
            problems.append(f"{path} is missing")
            continue
        file = there[path]
        if (file.mode, file.owner[0]) != (mode, 0):
            problems.append(f"{path} is {file.mode:04o} of {file.owner[0]}, not {mode:04o} of root")
        elif content is not None and file.content != content.encode():
            problems.append(f"{path} is not the platform's CA")
    names = there[HOSTS]
    if names.mode & 0o022 or names.owner[0]:
        what = f"{HOSTS} is {names.mode:04o} of {names.owner[0]}: others may write it"
        problems.append(what)
    expect_none(problems, REMEDY)
