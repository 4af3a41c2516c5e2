"""Applies the folders: each after those it needs, the others at the same time."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from dap.content.context import ContentError, Context, Secrets
from dap.content.plan import Folder, Plan
from dap.content.report import Report

WORKERS = 8
_Apply = Callable[[Context], None]


def run(plan: Plan, secrets: Secrets, *, check: bool) -> int:
    """Apply every folder, print the steps and the summary; return the exit status, 0 or 1.

    A folder whose needs failed is not tried and counts as failed; the others are.
    """
    report = Report([*secrets.vault.values(), *secrets.kept.values.values()])
    order = TopologicalSorter(
        {name: folder.needs & plan.folders.keys() for name, folder in plan.folders.items()}
    )
    try:
        order.prepare()
    except CycleError as error:
        report.failure("plan", f"needs form a circle: {' → '.join(error.args[1])}")
    else:
        _run_in_order(order, plan, secrets, report, check=check)
    print(report.summary(), flush=True)
    return 1 if report.failed else 0


def _run_in_order(
    order: TopologicalSorter[str],
    plan: Plan,
    secrets: Secrets,
    report: Report,
    *,
    check: bool,
) -> None:
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        while order.is_active():
            for name in order.get_ready():
                folder = plan.folders[name]
                context = Context(plan, secrets, report, name, check=check)
                running[pool.submit(_apply, folder, context, report)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                order.done(running.pop(future))


def _apply(folder: Folder, context: Context, report: Report) -> None:
    lacking = sorted(folder.needs & set(report.failed))
    if lacking:
        report.failure(folder.name, f"not tried, it needs {', '.join(lacking)}")
        return
    if folder.script is None:
        return
    try:
        _load(folder.name, folder.script)(context)
    except ContentError as error:
        report.failure(folder.name, str(error))
    except Exception:
        report.failure(folder.name, traceback.format_exc())


def _load(name: str, script: Path) -> _Apply:
    package = [str(script.parent)] if script.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        f"content_{name.replace('-', '_')}", script, submodule_search_locations=package
    )
    if spec is None or spec.loader is None:
        raise ContentError(f"{script}: can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    try:
        apply: _Apply = module.apply
    except AttributeError:
        raise ContentError(f"{script}: has no function apply(context)") from None
    return apply
