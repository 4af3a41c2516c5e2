"""Takes the platform off hosts that the settings no longer have."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from dap.engine.inventory import write_gone_inventory
from dap.engine.playbook import Failure, Outcome, run_playbook
from dap.engine.prepare import Prepared
from dap.engine.progress import Progress
from dap.plan.model import Place
from dap.reach import HostError, ask, each
from dap.ssh import forget_keys

DRAIN_S = 600
"""How long jobs that run on such a host may go on."""
_TIMEOUT_S = 60


def forget(
    prepared: Prepared,
    outcome: Outcome,
    progress: Progress,
    *,
    log: Path,
    lost: Collection[str],
) -> Outcome:
    """Drain hosts that are gone from the settings and take the platform off them; data stays.

    A host that can't be reached is kept in mind, and tried again by the next deploy. One whose
    machine is in the settings by another address is left as it is.

    Args:
        prepared: the project.
        outcome: of the deploy, which names the hosts; gets what is done here.
        progress: shows it.
        log: file for what Ansible prints.
        lost: names of such hosts that will never answer again.

    Returns:
        The outcome.
    """
    gone = {found["name"]: Place(**found) for step in outcome.steps for found in step.gone}
    for name in sorted(set(lost) - gone.keys()):
        progress.say(f"{name}: no machine of that name is gone from platform.yml")
    if not gone:
        return outcome
    unseen = gone.keys() & set(lost)
    for name in sorted(unseen):
        progress.say(f"{name}: forgotten unseen; what runs there still runs")
    # A machine tells that it has another address only after it was deployed at that.
    left = (gone.keys() - unseen) & {failure.host for failure in outcome.failures}
    asked = [gone[name] for name in sorted(gone.keys() - unseen - left)]
    stays = each(asked, partial(_stays, prepared))
    there = [place for place, staying in zip(asked, stays, strict=True) if not staying]
    if there:
        done = run_playbook(
            prepared.root,
            "destroy",
            write_gone_inventory(
                prepared.work, prepared.root, prepared.plan, there, prepared.vault.label
            ),
            log=log,
            variables={"dap_delete_data": False, "dap_drain_s": DRAIN_S},
            forks=len(there),
            on_event=progress,
        )
        left |= {failure.host for failure in done.failures}
        outcome.steps += done.steps
        outcome.failures += [_named(failure) for failure in done.failures]
        for step in done.steps:
            if step.kept:
                progress.say(f"{step.host}: forgotten; kept there: {', '.join(step.kept)}")
    _remember(prepared, [gone[name] for name in sorted(left)])
    names = {host.host.name for host in prepared.plan.hosts}
    forget_keys(prepared.root, gone.keys() - left - names)
    return outcome


def _stays(prepared: Prepared, place: Place) -> bool:
    """Tell whether the machine that was a host is one of the settings', by another address."""
    arguments = {"directory": place.directory}
    try:
        found = ask(prepared.root, place, "deployed", arguments, timeout_s=_TIMEOUT_S)
    except HostError:
        return False  # the playbook can't reach it, either, and says so
    addresses = {host.host.address for host in prepared.plan.hosts}
    return found is not None and found["address"] in addresses


def _named(failure: Failure) -> Failure:
    return Failure(
        host=failure.host,
        task=f"{failure.task} (its machine is no longer in platform.yml)",
        reason=failure.reason,
        details=failure.details,
        remedy=f"deploy again when it answers; if it never will: make deploy FORGET={failure.host}",
        refused=False,
    )


def _remember(prepared: Prepared, gone: Iterable[Place]) -> None:
    host = prepared.plan.service_host.host
    arguments = {"directory": host.directory, "gone": [asdict(place) for place in gone]}
    ask(prepared.root, host, "members", arguments, timeout_s=_TIMEOUT_S)
