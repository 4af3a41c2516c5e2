"""Plan, trees and secrets become what Ansible reads: an inventory and a file for each tree."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from dap import ssh
from dap.engine.baseline import baseline
from dap.plan import HostPlan, Plan
from dap.plan.model import HostView, Place
from dap.reach import interpreter
from dap.render import File, Tree
from dap.settings import memory_bytes

# What the default stack needs while it is built and idle, with little to spare.
MINIMUM = {"cores": 2, "memory_mib": 3072, "disk_gib": 10}
# In the tree's directory, but not of the tree: what the engine itself keeps there.
KEEP = ["audit.log", "hosts.json", ".build", "base/machine"]


def write_inventory(
    folder: Path,
    root: Path,
    plan: Plan,
    trees: Sequence[Tree],
    secrets: Mapping[str, str],
    owner: str,
    action: str,
) -> Path:
    """Write the inventory and the trees to a private folder; return the inventory's path.

    Args:
        folder: made with mode 0700; holds secrets until the caller removes it.
        root: the project's folder.
        plan: what runs where.
        trees: the rendered tree of each host.
        secrets: all secrets by name.
        owner: label of the project's vault; a host keeps it and is refused to others.
        action: what the audit line says was done.

    Raises:
        DapError: a host is to be reached by ssh, which is not installed here.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    by_host = {tree.host: tree for tree in trees}
    audit = audit_entry(root, action)
    hosts = {}
    for host in plan.hosts:
        tree = by_host[host.host.name]
        tree_file = folder / f"{host.host.name}.json"
        files = (*tree.files, File("owner", f"{owner}\n".encode(), 0o444))
        _write(tree_file, {file.path: _entry(file) for file in files})
        variables = {
            **_connection(root, host.host),
            **host_variables(root, plan, host, tree, secrets, owner),
            "dap_tree_file": str(tree_file),
            "dap_told": str(told_file(folder)),
            "dap_kept_file": str(kept_file(folder)),
            "dap_audit": audit,
        }
        hosts[host.host.name] = variables
    return written(folder, "inventory", hosts)


def write_gone_inventory(
    folder: Path,
    root: Path,
    plan: Plan,
    gone: Iterable[Place],
    owner: str,
) -> Path:
    """Write the inventory of hosts that the settings no longer have; return its path.

    Args:
        folder: as `folder` of `write_inventory`.
        root: the project's folder.
        plan: what runs where.
        gone: the hosts, as the service host keeps them.
        owner: label of the project's vault.
    """
    service = plan.service_host
    route = next((route for route in plan.routes if route.registry), None)
    hosts = {
        each.name: {
            **_connection(root, each),
            "dap_project": plan.settings.name,
            "dap_directory": each.directory,
            "dap_owner": owner,
            "dap_registry": route.url.removeprefix("https://") if route else "",
            "dap_reach": service.host.listen,
            "dap_names": [],
            "dap_audit": audit_entry(root, "forget"),
        }
        for each in gone
    }
    return written(folder, "gone", hosts)


def images_variables(
    root: Path, plan: Plan, place: Path, targets: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Return what the role `images` is told where it builds here and nothing is pulled or shipped.

    Args:
        root: the project's folder.
        plan: what runs where.
        place: the tree on this machine.
        targets: bake target → references of its image.
    """
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": interpreter(),
        "dap_project": plan.settings.name,
        "dap_directory": str(place),
        "dap_targets": dict(targets),
        "dap_upstream": [],
        "dap_shipped": [],
        "dap_told": str(told_file(place.parent)),
        "dap_base": plan.settings.images.base,
        **_packages(root, plan),
        "dap_published": {},
        "dap_locked": {},
        "dap_registry": "",
        "dap_registry_login": {},
    }


def written(folder: Path, name: str, hosts: Mapping[str, Any]) -> Path:
    """Write an inventory, host → its variables, for its owner alone; return its path."""
    inventory = folder / f"{name}.json"
    _write(inventory, {"platform": {"hosts": hosts}})
    return inventory


def told_file(folder: Path) -> Path:
    """Return the file in which the service host's run tells other hosts' what it shipped."""
    return folder / "told.json"


def kept_file(folder: Path) -> Path:
    """Return the file in which the service host's run leaves secrets that content got."""
    return folder / "kept.json"


def host_variables(
    root: Path,
    plan: Plan,
    host: HostPlan,
    tree: Tree,
    secrets: Mapping[str, str],
    owner: str,
) -> dict[str, Any]:
    """Return what modules are told of a host; arguments as of `write_inventory`. Has secrets."""
    of_tree = _tree(tree, host)
    return {
        **_platform(plan, host),
        **of_tree,
        **_registry(plan, host, secrets),
        "dap_baseline": baseline(plan, host, of_tree["dap_ports"]),
        "dap_certificate": secrets.get("tls/ca-certificate", ""),
        **_packages(root, plan),
        "dap_owner": owner,
    }


def audit_entry(root: Path, action: str) -> dict[str, Any]:
    """Return who does what from which commit; `commit` is empty outside of git."""
    commit = _git(root, "rev-parse", "HEAD")
    return {
        "who": f"{getpass.getuser()}@{socket.gethostname()}",
        "action": action,
        "commit": commit,
        "dirty": bool(_git(root, "status", "--porcelain")) if commit else True,
    }


def revision(root: Path) -> str:
    """Return the commit that images are made from, `-dirty` if what they are made of differs.

    Empty outside of git.
    """
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "environments", "infrastructure")
    return f"{commit}-dirty" if commit and changed else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _connection(root: Path, host: ssh.Host) -> dict[str, Any]:
    if host.address == "localhost":
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": interpreter(),
            "dap_become": os.geteuid() != 0,
        }
    return {
        "ansible_host": host.address,
        "ansible_ssh_common_args": shlex.join(ssh.options(root, host)),
        "dap_become": ssh.account(root, host) != "root",
    }


def _platform(plan: Plan, host: HostPlan) -> dict[str, Any]:
    settings = plan.settings
    here = host.host.service
    return {
        "dap_project": settings.name,
        "dap_directory": host.host.directory,
        "dap_address": plan.published_at(host),
        "dap_reach": plan.names_lead_to(host),
        "dap_names": list(plan.names(host)),
        "dap_members": [_member(other.host) for other in plan.hosts] if here else [],
        "dap_builds": here,
        "dap_ships": here and bool(plan.shipped),
        "dap_shipped": [] if here else [image.reference for image in host.images],
        "dap_minimum": MINIMUM,
        "dap_keep": KEEP,
        "dap_base": settings.images.base,
        "dap_tasks": [service.name for service in host.services if service.task],
        "dap_kept": [
            f"{settings.name}_{folder.name}-{service.options.keeps}"
            for folder in host.folders
            for service in folder.services
            if service.options.keeps
        ],
        # In a home, what starts a task and what waits for it may look in different ones.
        "ansible_async_dir": f"{host.host.directory}/.build/async",
    }


def _member(host: HostView) -> dict[str, Any]:
    return {each.name: getattr(host, each.name) for each in fields(Place)}


def _tree(tree: Tree, host: HostPlan) -> dict[str, Any]:
    """Return what the tree itself says about ports and images."""
    files = {file.path: file.content for file in tree.files}
    compose = yaml.load(files["compose.yml"], Loader=yaml.CSafeLoader)
    bake = json.loads(files.get("docker-bake.json", '{"target": {}}'))
    targets = {name: target.get("tags", []) for name, target in bake["target"].items()}
    ours = {image.reference for image in host.images}
    services = compose["services"].values()
    reserve = host.host.reserve
    # Services come first on their host; what runs for people takes what is left.
    kept = {
        service.name: {
            "kept_cpus": reserve.cpus or 0,
            "kept_memory_mib": memory_bytes(reserve.memory or "0k") // 2**20,
        }
        for folder in host.folders
        if folder.options.roles == ("runner",)
        for service in folder.services
    }
    return {
        "dap_compose": files["compose.yml"].decode(),
        "dap_ports": [
            int(port["published"]) for service in services for port in service.get("ports", [])
        ],
        "dap_limits": {
            name: {**_limits(service), **kept.get(name, {})}
            for name, service in compose["services"].items()
        },
        "dap_gpus": _gpus(compose["services"], host),
        "dap_targets": targets,
        "dap_upstream": sorted({service["image"] for service in services} - ours),
    }


def _gpus(services: Mapping[str, Any], host: HostPlan) -> dict[str, Any]:
    """Return who asks for GPUs, and for which."""
    asked = {name: each.get("x-dap", {}).get("gpus") for name, each in services.items()}
    asked[f"jobs of host {host.host.name}"] = host.host.gpus
    return {who: gpus for who, gpus in asked.items() if gpus}


def _limits(service: Mapping[str, Any]) -> dict[str, Any]:
    text = str(service.get("mem_limit", "0k")).lower().removesuffix("b")
    memory = int(text) if text.isdigit() else memory_bytes(text)
    return {"cpus": float(service.get("cpus", 0)), "memory_mib": memory // 2**20}


def _registry(plan: Plan, host: HostPlan, secrets: Mapping[str, str]) -> dict[str, Any]:
    route = next((route for route in plan.routes if route.registry), None)
    if route is None or route.registry is None:
        return {
            "dap_registry": "",
            "dap_registry_login": {},
            "dap_published": {},
            "dap_locked": {},
        }
    registry = route.url.removeprefix("https://")
    here = {image.name for image in host.images}
    environments = {
        name: image
        for name, image in plan.images.environments.items()
        if image.name in here and not plan.images.overridden(image)
    }
    published = {}
    if host.host.service:
        published = {
            image.reference: f"environments/{name}" for name, image in environments.items()
        }
        if published:
            # Pipelines build environments from these two.
            published |= {
                plan.images.base.reference: "base",
                plan.images.builder.reference: "builder",
            }
        published |= plan.shipped
    return {
        "dap_registry": registry,
        "dap_registry_login": {
            "username": route.registry.username,
            "password": secrets[route.registry.secret],
        },
        "dap_published": {
            reference: f"{registry}/{name}:{reference.rpartition(':')[2]}"
            for reference, name in published.items()
        },
        "dap_locked": {
            image.reference: f"{registry}/{image.locked}"
            for image in environments.values()
            if image.locked
        },
    }


def _packages(root: Path, plan: Plan) -> dict[str, Any]:
    """Return where what images are built of comes from, and which commit they are of."""
    packages = plan.settings.packages
    return {
        "dap_packages": packages.model_dump(mode="json", exclude={"extra_ca"}),
        "dap_extra_ca": _extra_ca(root, packages.extra_ca),
        "dap_revision": revision(root),
    }


def _extra_ca(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the certificates of the settings under the names that update-ca-certificates reads."""
    files = (root / path for path in paths)
    return {f"{file.stem}.crt": file.read_text(encoding="utf-8") for file in files}


def _entry(file: File) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "mode": file.mode,
        "uid": file.uid,
        "secret": file.secret,
        "content": base64.b64encode(file.content).decode(),
    }


def _write(path: Path, data: Any) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(data, stream)
