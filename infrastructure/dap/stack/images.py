"""Images of a platform on a cluster: in its registry, or in a file that nodes load."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dap.engine import Prepared, build_images
from dap.engine.lock import hold
from dap.errors import DapError, InputError
from dap.plan import PUSH_PASSWORD, REGISTRY_PASSWORD, Plan
from dap.registry import Registry
from dap.settings import ClusterRegistry
from dap.stack.engine import Change

_AT_ONCE = 8
_CERTIFICATES = "/etc/docker/certs.d"


def needed(plan: Plan) -> tuple[str, ...]:
    """Return the images that the platform builds and nodes need, by their names here, sorted.

    What starts pods elsewhere than in the platform's own services, as jobs of pipelines do, starts
    from environments.
    """
    host = plan.service_host
    wanted = {plan.images.base.reference, *(service.image for service in host.services)}
    if any(place.host.runs_jobs for place in (*plan.hosts, *plan.clusters)):
        wanted |= {image.reference for image in plan.images.environments.values()}
    return tuple(sorted(wanted & {image.reference for image in host.images}))


def lacking(prepared: Prepared) -> dict[str, str]:
    """Return what the registry of the settings has not of what nodes need; nothing without one.

    Returns:
        Name here → name there.

    Raises:
        DapError: the registry does not answer, or refuses.
    """
    registry = _registry(prepared.plan)
    if not registry.address:
        return {}
    host = registry.address.split("/")[0]
    user, password = _account(prepared, registry)
    asked = Registry(host, _login(user, password) if user else "", _ca(prepared, registry))
    there = {each: registry.reference(each) for each in needed(prepared.plan)}
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            known = pool.map(asked.has, (name.removeprefix(f"{host}/") for name in there.values()))
            return {
                local: name
                for (local, name), has in zip(there.items(), known, strict=True)
                if not has
            }
    except DapError as error:
        raise DapError(error.message, _remedy(error.message, host, registry)) from error


def push(prepared: Prepared, tell: Callable[[str], None], lock: int) -> tuple[Change, ...]:
    """Bring what nodes need to the registry of the settings: what is not there is built and pushed.

    Args:
        prepared: the project.
        tell: gets a line for each step.
        lock: descriptor of the project's lock.

    Returns:
        What was pushed.

    Raises:
        DapError: one can't be built, or the registry refuses it.
    """
    missing = lacking(prepared)
    if not missing:
        look_as_nodes(prepared)
        return ()
    build_images(prepared, missing, tell, lock)
    registry = _registry(prepared.plan)
    changes = pushes(missing)
    with _logged_in(registry, *_account(prepared, registry)) as environment:
        for change, (local, name) in zip(changes, missing.items(), strict=True):
            tell(str(change))
            for command in (["tag", local, name], ["push", "--quiet", name]):
                _docker(command, registry, environment)
    look_as_nodes(prepared)
    return changes


def look_as_nodes(prepared: Prepared) -> None:
    """Ask the registry of the settings for an image, which it has, as nodes will.

    Where one account pulls and pushes it was asked already; where there is none, anybody may pull.

    Raises:
        DapError: the account of nodes may not.
    """
    registry = _registry(prepared.plan)
    if not registry.user or not registry.push_user:
        return
    host = registry.address.split("/")[0]
    password = prepared.vault.get(REGISTRY_PASSWORD)
    asked = Registry(host, _login(registry.user, password), _ca(prepared, registry))
    image = registry.reference(needed(prepared.plan)[0]).removeprefix(f"{host}/")
    remedy = f"see that {registry.user} may pull there; its password: dap secret"
    try:
        found = asked.has(image)
    except DapError as error:
        raise DapError(error.message, f"{remedy} {REGISTRY_PASSWORD}") from error
    if not found:
        what = f"the registry {host} does not show {image} to {registry.user}, as whom nodes pull"
        raise DapError(what, f"{remedy} {REGISTRY_PASSWORD}")


def pushes(missing: Mapping[str, str]) -> tuple[Change, ...]:
    """Return what bringing these to the registry is, as `lacking` returns them."""
    return tuple(Change("push", name) for name in missing.values())


def have(prepared: Prepared, tell: Callable[[str], None], file: Path | None) -> tuple[Change, ...]:
    """Bring images where nodes get them from: to the registry; without one, have them here.

    Args:
        prepared: the project.
        tell: gets a line for each step.
        file: gets all of them, for nodes to load.

    Returns:
        What was pushed.

    Raises:
        DapError: one can't be built or pushed, or the file can't be written.
    """
    with hold(prepared.root / ".dap" / "lock", tell) as lock:
        pushed = push(prepared, tell, lock)
        if file is not None or not _registry(prepared.plan).address:
            build_images(prepared, needed(prepared.plan), tell, lock)
        if file is not None:
            save(prepared.plan, file)
    return pushed


def save(plan: Plan, file: Path) -> None:
    """Write what nodes need to a file, each image under the name that pods know it by.

    Raises:
        DapError: it can't be written.
    """
    registry = _registry(plan)
    names = []
    for local in needed(plan):
        names.append(registry.reference(local))
        if names[-1] != local:
            _docker(["tag", local, names[-1]], registry, {})
    _docker(["save", "--output", str(file), *names], registry, {})


def _remedy(said: str, host: str, registry: ClusterRegistry) -> str:
    text = said.lower()
    if "certificate" in text or "x509" in text:
        if registry.ca:
            place = f"{_CERTIFICATES}/{host}/ca.crt"
            return f"Docker here must trust its CA: sudo install -D -m 0644 {registry.ca} {place}"
        return "say cluster.registry.ca: FILE, the PEM file of its CA"
    if any(each in text for each in ("401", "403", "denied", "unauthorized", "forbidden")):
        user, secret = registry.user, REGISTRY_PASSWORD
        if registry.push_user:
            user, secret = registry.push_user, PUSH_PASSWORD
        if not user:
            return "say cluster.registry.user, or push_user: who may push there"
        return f"see that {user} may push there; its password: dap secret {secret}"
    return "see that it answers, and that cluster.registry is right"


def _docker(
    arguments: Iterable[str],
    registry: ClusterRegistry,
    environment: Mapping[str, str],
    *,
    given: str = "",
) -> None:
    try:
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, "DOCKER_CLI_HINTS": "false", **environment},
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise InputError("docker is not installed here, which images need", "install it") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        what = f"docker {' '.join([*arguments][:2])}: {' '.join(said)}"
        raise DapError(what, _remedy(what, registry.address.split("/")[0], registry))


@contextmanager
def _logged_in(registry: ClusterRegistry, user: str, password: str) -> Iterator[dict[str, str]]:
    """The environment of a client whose login leaves no trace; without a user, the person's own."""
    if not user:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="dap-") as folder:
        environment = {"DOCKER_CONFIG": folder}
        login = ["login", "--username", user, "--password-stdin", registry.address.split("/")[0]]
        _docker(login, registry, environment, given=password)
        yield environment


def _account(prepared: Prepared, registry: ClusterRegistry) -> tuple[str, str]:
    """Return who pushes, and the password; both empty where the settings name nobody."""
    if registry.push_user:
        return registry.push_user, prepared.vault.get(PUSH_PASSWORD)
    if registry.user:
        return registry.user, prepared.vault.get(REGISTRY_PASSWORD)
    return "", ""


def _login(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _ca(prepared: Prepared, registry: ClusterRegistry) -> Path | None:
    return prepared.root / Path(registry.ca).expanduser() if registry.ca else None


def _registry(plan: Plan) -> ClusterRegistry:
    if plan.settings.cluster is None:
        raise ValueError("the platform's target is no cluster")
    return plan.settings.cluster.registry
