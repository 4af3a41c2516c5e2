"""Imports the engine's Ansible modules, which lie outside of every package."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.paths import ROOT

ANSIBLE = ROOT / "infrastructure" / "ansible"


def load(name: str, folder: str = "library") -> ModuleType:
    """Return a module of `library/` (or of another folder), as it would be on a host."""
    import ansible.module_utils as shared

    place = str(ANSIBLE / "module_utils")
    if place not in shared.__path__:
        shared.__path__.append(place)
    spec = importlib.util.spec_from_file_location(
        f"dap_test_{folder}_{name}", ANSIBLE / folder / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
