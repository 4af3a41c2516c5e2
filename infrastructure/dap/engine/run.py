"""One run of a playbook over a prepared project, under the project's lock."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
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

    New secrets are saved first, so that none is lost that a host knows.

    Raises:
        DapError: another run holds the lock, or Ansible itself failed.
    """
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with hold(prepared.root / ".dap" / "lock", progress.say) as lock:
        if not check:
            prepared.vault.save()
        try:
            inventory = write_inventory(
                prepared.work,
                prepared.root,
                prepared.plan,
                prepared.trees,
                prepared.secrets,
                verb,
            )
            return run_playbook(
                prepared.root,
                playbook,
                inventory,
                log=prepared.log(verb, time),
                check=check,
                lock=lock,
                variables=variables,
                on_event=progress,
            )
        finally:
            shutil.rmtree(prepared.work, ignore_errors=True)
