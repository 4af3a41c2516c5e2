"""A platform in its cluster: bring it to what the settings say, and take it away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dap.cluster import Manifest, Objects
from dap.engine import Prepared
from dap.engine.kept import keep
from dap.engine.lock import hold
from dap.errors import DapError
from dap.plan import STATE_PASSPHRASE, secret_specs
from dap.secrets.kinds import CONTENT
from dap.stack.checks import of_checks
from dap.stack.drift import put_right
from dap.stack.engine import Change, Engine
from dap.stack.images import push
from dap.stack.live import Live, connected
from dap.stack.place import Place, of_platform
from dap.stack.plan import objects_of, plan
from dap.stack.verify import remove

KEPT = "kept.json"
"""File of secrets that content got, on the volume that `x-dap.keeps` names."""


@dataclass(frozen=True)
class Deployed:
    """What a deploy did: to images and objects, and how many things content made or changed."""

    changes: tuple[Change, ...]
    content: int


def deploy(prepared: Prepared, tell: Callable[[str], None]) -> Deployed:
    """Bring the cluster to what the settings say: images, objects, content; then all is ready.

    New secrets are saved before the cluster learns them, and not before it was asked whether it
    takes the objects.

    Raises:
        DapError: something is refused, failed, or does not become ready.
    """
    place, made = of_platform(prepared.plan.settings, prepared.root), objects_of(prepared)
    with hold(prepared.root / ".dap" / "lock", tell) as lock:
        if prepared.new_secrets:
            # It looks at the cluster, too.
            plan(prepared, lambda _: None)
            prepared.vault.save()
        else:
            with connected(place) as live:
                live.refuse(prepared.plan.settings, made)
        pushed = push(prepared, tell, lock)
        done, complete = _bring(prepared, made, place, tell)
        if complete is not None:
            tell("the vault has new secrets, which services gave; bringing them")
            again, _ = _bring(complete, objects_of(complete), place, tell)
            done = Deployed((*done.changes, *again.changes), done.content + again.content)
    return Deployed((*pushed, *done.changes), done.content)


def _bring(
    prepared: Prepared, made: Objects, place: Place, tell: Callable[[str], None]
) -> tuple[Deployed, Prepared | None]:
    """Deploy once; also return the project with secrets that services gave meanwhile, if any."""
    engine = Engine(prepared.root, prepared.plan.settings, prepared.vault, tell)
    changes = () if engine.is_current(made) else engine.up(made).changes
    with connected(place) as live:
        addressed = _addressed(prepared, live, made)
        if mended := put_right(engine, live, made, addressed, tell):
            changes += mended
            addressed = _addressed(prepared, live, made)
        live.sweep(made, tell)
        live.await_started(made, tell)
        tasks = addressed.tasks
        try:
            content = sum(_changed(live.run(task), tell) for task in tasks)
        except DapError:
            # What was given once must not be lost.
            keep(prepared, _kept(prepared, tasks, live))
            raise
        complete = keep(prepared, _kept(prepared, tasks, live))
        live.await_ready(made, tell)
    return Deployed(changes, content), complete


def _kept(prepared: Prepared, tasks: Iterable[Manifest], live: Live) -> dict[str, str]:
    """Return the secrets that tasks have kept on their volumes."""
    if CONTENT not in secret_specs(prepared.plan).values():
        return {}
    volumes = {
        service.name: f"{folder.name}-{service.options.keeps}"
        for folder in prepared.plan.folders.values()
        for service in folder.services
        if service.options.keeps
    }
    found: dict[str, str] = {}
    for task in tasks:
        volume = volumes.get(task["metadata"]["name"])
        if volume is not None:
            text = live.read(task, volume, KEPT)
            found |= json.loads(text) if text else {}
    return found


def _addressed(prepared: Prepared, live: Live, made: Objects) -> Objects:
    """Return the objects with the address of the server of names, which the stack has by itself."""
    found = live.named("v1", "Service").get(made.nameserver)
    return objects_of(prepared, found["spec"]["clusterIP"]) if found else made


def destroy(
    prepared: Prepared, tell: Callable[[str], None], *, data: bool
) -> tuple[tuple[Change, ...], list[str]]:
    """Take the platform off its cluster; volumes and their namespace stay without `data`.

    Returns:
        What was removed, and the names of the volumes that stay.

    Raises:
        DapError: the engine failed, or the cluster does not answer.
    """
    settings = prepared.plan.settings
    place = of_platform(settings, prepared.root)
    with (
        hold(prepared.root / ".dap" / "lock", tell),
        connected(place) as live,
        connected(of_checks(place)) as checks,
    ):
        remove(live, checks)
        # Their pods, though they have ended, hold on to volumes.
        live.remove_tasks()
        changes: tuple[Change, ...] = ()
        # With a passphrase that is made up now no state can be read, so there is none.
        if STATE_PASSPHRASE not in prepared.new_secrets:
            engine = Engine(prepared.root, settings, prepared.vault, tell)
            changes = engine.destroy(data=data).changes
        live.sweep(None, tell)
        return changes, live.claims()


def _changed(said: str, tell: Callable[[str], None]) -> int:
    """Tell what a task changed; how much its last line says that it was."""
    lines = said.strip().splitlines()
    for line in lines:
        if line.startswith("changed: "):
            tell(line)
    try:
        return int(json.loads(lines[-1])["changed"])
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise DapError(f"a task says nothing of what it changed: {said[-200:]!r}") from error
