"""Reads the `reproduce.py` of the service folders that a plan runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from dap.plan import Plan

FILE = "reproduce.py"


def folders(root: Path, plan: Plan) -> list[ModuleType]:
    """Return those modules, in the plan's order."""
    return list(_modules(root, plan))


def _modules(root: Path, plan: Plan) -> Iterator[ModuleType]:
    for name, folder in plan.folders.items():
        path = root / folder.folder.where / FILE
        if not path.is_file():
            continue
        spec = importlib.util.spec_from_file_location(f"dap_reproduce_{name}", path)
        if spec is None or spec.loader is None:
            raise ImportError(str(path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
