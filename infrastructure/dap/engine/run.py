"""One run of a playbook over a prepared project, under the project's lock."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dap.engine.inventory import write_inventory
from dap.engine.lock import hold
from dap.engine.playbook import Outcome, run_playbook
from dap.engine.prepare import Prepared
from dap.engine.progress import Progress


def run(
    prepared: Prepared,
    verb: str,
    progress: Progress,
    *,
    playbook: str = "deploy",
    check: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> Outcome:
    """Bring the trees to their hosts, or with `check` tell what that would change.

    New secrets are saved before a host learns them, and not before no host is refused.

    Raises:
        DapError: another run holds the lock, or Ansible itself failed.
    """
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with hold(prepared.root / ".dap" / "lock", progress.say) as lock:
        try:
            inventory = write_inventory(
                prepared.work,
                prepared.root,
                prepared.plan,
                prepared.trees,
                prepared.secrets,
                prepared.vault.label,
                verb,
            )
            playbook_run = partial(
                run_playbook,
                prepared.root,
                playbook,
                inventory,
                log=prepared.log(verb, time),
                check=check,
                lock=lock,
                variables=variables,
                on_event=progress,
            )
            if prepared.new_secrets and playbook == "deploy" and not check:
                outcome = playbook_run(tags="check")
                if outcome.failures:
                    return outcome
                prepared.vault.save()
            return playbook_run()
        finally:
            shutil.rmtree(prepared.work, ignore_errors=True)
