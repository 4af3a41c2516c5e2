"""Takes the platform off hosts that the settings no longer have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dap.engine.inventory import write_gone_inventory
from dap.engine.playbook import Failure, Outcome, run_playbook
from dap.engine.prepare import Prepared
from dap.engine.progress import Progress
from dap.reach import ask
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

    A host that can't be reached is kept in mind, and tried again by the next deploy.

    Args:
        prepared: the project.
        outcome: of the deploy, which names the hosts; gets what is done here.
        progress: shows it.
        log: file for what Ansible prints.
        lost: names of such hosts that will never answer again.

    Returns:
        The outcome.
    """
    gone = {each["name"]: each for step in outcome.steps for each in step.gone}
    if not gone:
        return outcome
    there = [each for name, each in gone.items() if name not in lost]
    for name in sorted(gone.keys() & set(lost)):
        progress.say(f"{name}: forgotten unseen; what runs there still runs")
    away: list[Failure] = []
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
        away = done.failures
        outcome.steps += done.steps
        outcome.failures += [_named(failure) for failure in away]
        for step in done.steps:
            if step.kept:
                progress.say(f"{step.host}: forgotten; kept there: {', '.join(step.kept)}")
    left = {failure.host for failure in away}
    _remember(prepared, [each for name, each in gone.items() if name in left])
    forget_keys(prepared.root, gone.keys() - left)
    return outcome


def _named(failure: Failure) -> Failure:
    return Failure(
        host=failure.host,
        task=f"{failure.task} (it is no longer in platform.yml)",
        reason=failure.reason,
        details=failure.details,
        remedy=f"deploy again when it answers; if it never will: make deploy FORGET={failure.host}",
        refused=False,
    )


def _remember(prepared: Prepared, gone: list[Mapping[str, Any]]) -> None:
    host = prepared.plan.service_host.host
    arguments = {"directory": host.directory, "gone": gone}
    ask(prepared.root, host, "members", arguments, timeout_s=_TIMEOUT_S)
