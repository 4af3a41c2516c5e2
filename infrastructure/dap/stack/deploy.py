"""A platform in its cluster: bring it to what the settings say, and take it away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from dap.engine import Prepared
from dap.engine.lock import hold
from dap.errors import DapError
from dap.plan import STATE_PASSPHRASE
from dap.stack.components import NO_ADDRESS
from dap.stack.engine import Change, Engine
from dap.stack.images import push
from dap.stack.kubeconfig import find
from dap.stack.live import connected
from dap.stack.plan import objects_of, plan


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
    settings = prepared.plan.settings
    made, files = objects_of(prepared), find(settings, prepared.root)
    with hold(prepared.root / ".dap" / "lock", tell) as lock:
        with connected(settings, files) as live:
            live.refuse(made)
        if prepared.new_secrets:
            plan(prepared, lambda _: None)
            prepared.vault.save()
        pushed = push(prepared, tell, lock)
        result = Engine(prepared.root, settings, prepared.vault, tell).up(made)
        with connected(settings, files) as live:
            live.sweep(made, tell)
            live.await_started(made, tell)
            # Tasks are no part of the stack, which alone knows the address by itself.
            asked = live.address(made.nameserver) if made.nameserver else NO_ADDRESS
            tasks = objects_of(prepared, asked).tasks
            content = sum(_changed(live.run(task), tell) for task in tasks)
            live.await_ready(made, tell)
    return Deployed((*pushed, *result.changes), content)


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
    files = find(settings, prepared.root)
    with hold(prepared.root / ".dap" / "lock", tell), connected(settings, files) as live:
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
