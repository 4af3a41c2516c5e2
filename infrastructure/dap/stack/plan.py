"""What a deploy would change in a platform's cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from dap.cluster import Objects, objects
from dap.engine import Prepared
from dap.plan import STATE_PASSPHRASE
from dap.stack.components import NO_ADDRESS
from dap.stack.engine import Engine, Result
from dap.stack.images import lacking, pushes
from dap.stack.live import connected
from dap.stack.place import of_platform


def objects_of(prepared: Prepared, nameserver: str = NO_ADDRESS) -> Objects:
    """Return the objects of a prepared project.

    Args:
        prepared: the project.
        nameserver: the address that pods ask for names. It is known once its Service is there; the
            program puts it in what it makes by itself.

    Raises:
        InputError: a service has what a cluster can't do, or settings do not fit.
    """
    (tree,) = prepared.trees
    return objects(prepared.plan, tree, nameserver, prepared.vault)


def plan(prepared: Prepared, tell: Callable[[str], None]) -> Result:
    """Return what a deploy would change; each change is told as it is found.

    Raises:
        DapError: something is refused, or the engine failed.
    """
    made = objects_of(prepared)
    settings = prepared.plan.settings
    with connected(of_platform(settings, prepared.root)) as live:
        live.refuse(settings, made)
    images = pushes(lacking(prepared))
    for each in images:
        tell(str(each))

    def preview(state: Path | None) -> Result:
        engine = Engine(prepared.root, settings, prepared.vault, tell, state=state)
        return Result((*images, *engine.preview(made).changes))

    if STATE_PASSPHRASE not in prepared.new_secrets:
        return preview(None)
    # Nothing was deployed yet, and what a plan makes up must not encrypt a state that stays.
    with tempfile.TemporaryDirectory(prefix="dap-") as folder:
        return preview(Path(folder))
