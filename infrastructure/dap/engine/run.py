"""One run of a playbook over a prepared project, under the project's lock."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dap.engine.forget import forget
from dap.engine.inventory import kept_file, told_file, write_inventory
from dap.engine.kept import take
from dap.engine.lock import hold
from dap.engine.playbook import Event, Outcome, run_playbook
from dap.engine.prepare import Prepared
from dap.engine.progress import Progress
from dap.errors import InputError
from dap.replace import replace_file


class Telling:
    """Passes events on, and tells the runs on other hosts when the service host's has failed."""

    def __init__(self, prepared: Prepared, progress: Progress) -> None:
        self._service = prepared.plan.service_host.host.name
        self._told = told_file(prepared.work)
        self._progress = progress

    def __call__(self, event: Event) -> None:
        """Take one event."""
        failed = event["event"] in ("failed", "unreachable")
        if failed and event["host"] == self._service and not self._told.exists():
            error = {"error": f"the service host {self._service} failed, which builds the images"}
            replace_file(self._told, json.dumps(error).encode())
        self._progress(event)


def _written(prepared: Prepared, verb: str) -> Path:
    """Write the inventory; return its path."""
    kept_file(prepared.work).unlink(missing_ok=True)
    return write_inventory(
        prepared.work,
        prepared.root,
        prepared.plan,
        prepared.trees,
        prepared.secrets,
        prepared.vault.label,
        verb,
    )


def run(
    prepared: Prepared,
    verb: str,
    progress: Progress,
    *,
    playbook: str = "deploy",
    check: bool = False,
    variables: Mapping[str, Any] | None = None,
    lost: Collection[str] = (),
) -> Outcome:
    """Bring the trees to their hosts, or with `check` tell what that would change.

    A deploy also takes the platform off hosts that are gone from the settings; those in `lost`
    are forgotten without asking them. New secrets are saved before a host learns them, and not
    before no host is refused. Where services gave content new ones, a second pass brings them to
    who needs them.

    Raises:
        DapError: the target is no host, another run holds the lock, or Ansible itself failed.
    """
    cluster = prepared.plan.settings.cluster
    if cluster is not None:
        raise InputError("platform.yml: target: kubernetes: Ansible brings nothing to a cluster")
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with hold(prepared.root / ".dap" / "lock", progress.say) as lock:
        # What a deploy left that was killed, such as what its service host told the others.
        shutil.rmtree(prepared.work, ignore_errors=True)
        try:
            inventory = _written(prepared, verb)
            playbook_run = partial(
                run_playbook,
                prepared.root,
                playbook,
                inventory,
                log=prepared.log(verb, time),
                check=check,
                lock=lock,
                variables=variables,
                forks=len(prepared.plan.hosts),
                on_event=Telling(prepared, progress),
            )
            service = prepared.plan.service_host.host.name
            if prepared.new_secrets and playbook == "deploy" and not check:
                outcome = playbook_run(tags="check")
                if any(each.refused or each.host == service for each in outcome.failures):
                    return outcome
                prepared.vault.save()
            outcome = playbook_run()
            complete = take(prepared) if playbook == "deploy" and not check else None
            if complete is not None and not outcome.failures:
                progress.say("the vault has new secrets, which services gave; bringing them")
                told_file(prepared.work).unlink(missing_ok=True)
                _written(complete, verb)
                outcome = playbook_run(log=prepared.log(f"{verb}-again", time)).after(outcome)
            failed = {failure.host for failure in outcome.failures}
            if playbook == "deploy" and not check and service not in failed:
                log = prepared.log("forget", time)
                outcome = forget(prepared, outcome, progress, log=log, lost=lost)
            return outcome
        finally:
            shutil.rmtree(prepared.work, ignore_errors=True)
