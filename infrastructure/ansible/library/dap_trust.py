#!/usr/bin/python
"""Let a host trust the platform's CA and find the platform's names."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, output, write_atomically

DOCUMENTATION = """
module: dap_trust
short_description: Let a host trust the platform's CA and find the platform's names
options:
  project: {description: name of the platform, type: str, required: true}
  certificate: {description: "the CA in PEM, empty if there is none", type: str, required: true}
  registry: {description: "host[:port], empty if there is none", type: str, required: true}
  address: {description: IP address that the names lead to, type: str, required: true}
  names: {description: host names of the platform, type: list, elements: str, required: true}
  state: {description: present or absent, type: str, choices: [present, absent], default: present}
"""

HOSTS = Path("/etc/hosts")
ANCHORS = Path("/usr/local/share/ca-certificates")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
DOCKER_CERTIFICATES = Path("/etc/docker/certs.d")


def without_block(text: str, begin: str, end: str) -> str:
    """Return a text without the lines from `begin` to `end`."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        inside = inside or line.strip() == begin
        if not inside:
            kept.append(line)
        if line.strip() == end:
            inside = False
    return "".join(kept)


def resolves(name: str) -> bool:
    """Tell whether the host finds a name by itself."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def hosts_text(project: str, address: str, names: list[str], present: bool) -> str:
    """Return what /etc/hosts should hold.

    The names are written when the host doesn't find one of them by itself. A block that is there
    stays, as it hides what the host would find without it.
    """
    begin, end = f"# BEGIN platform {project} (dap)", f"# END platform {project} (dap)"
    current = HOSTS.read_text(encoding="utf-8")
    rest = without_block(current, begin, end)
    if not present or (rest == current and all(resolves(name) for name in names)):
        return rest
    # One name a line: some resolvers read no more than a few aliases.
    lines = "".join(f"{address} {name}\n" for name in names)
    block = f"{begin}\n{lines}{end}\n"
    if block in current:
        # Other platforms have their blocks there too: none moves because of another.
        return current
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return f"{rest}{block}"


def put(path: Path, content: str, wanted: bool, check: bool) -> list[str]:
    """Write or remove a file; return what changed."""
    current = path.read_text(encoding="utf-8") if path.exists() else None
    if not wanted:
        if current is not None and not check:
            path.unlink()
        return [] if current is None else [f"remove {path}"]
    if current == content:
        return []
    if not check:
        write_atomically(path, content.encode(), 0o644)
    return [f"{'add' if current is None else 'change'} {path}"]


def bundled(certificate: str) -> bool:
    """Tell whether a CA is in what the host's programs read."""
    return BUNDLE.exists() and certificate.strip() in BUNDLE.read_text(encoding="utf-8")


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other platform's deploy is at the files that this machine has once."""
    with HOSTS.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def apply(given: dict[str, Any], check: bool) -> list[str]:
    """Bring the host to what is given; return what changed.

    Raises:
        OSError: a file can't be read or written.
        CommandError: the host's programs' CAs could not be put together.
    """
    present = given["state"] == "present"
    wanted = present and bool(given["certificate"])
    anchor = ANCHORS / f"dap-{given['project']}.crt"
    changes = put(anchor, given["certificate"], wanted, check)
    if wanted and not changes and not bundled(given["certificate"]):
        changes.append(f"change {BUNDLE}")
    if changes and not check:
        output(["update-ca-certificates"])
    if given["registry"]:
        folder = DOCKER_CERTIFICATES / given["registry"]
        changes += put(folder / "ca.crt", given["certificate"], wanted, check)
        if not wanted and not check and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    text = hosts_text(given["project"], given["address"], given["names"], present)
    if text != HOSTS.read_text(encoding="utf-8"):
        changes.append(f"change {HOSTS}")
        if not check:
            # In place: in a container the file is a mount, which can't be replaced.
            HOSTS.write_text(text, encoding="utf-8")
    return changes


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "certificate": {"type": "str", "required": True},
            "registry": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        with alone():
            changes = apply(module.params, module.check_mode)
    except (OSError, CommandError) as error:
        module.fail_json(msg=str(error), remedy="install ca-certificates and deploy again")
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
