"""Which project a command works on."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from dap.errors import InputError

if TYPE_CHECKING:
    from dap.settings import Settings

SETTINGS_FILE = "platform.yml"

_chosen: ContextVar[Path | None] = ContextVar("project", default=None)


def choose(project: Path | None) -> None:
    """Work on `project`, as --project says; with None on the nearest one upward."""
    _chosen.set(project)


def project_root() -> Path:
    """The project's folder: the one of --project, or the nearest upward with a platform.yml.

    Raises:
        InputError: there is none.
    """
    chosen = _chosen.get()
    if chosen is not None:
        root = chosen.resolve()
        if not (root / SETTINGS_FILE).is_file():
            raise InputError(f"--project {chosen}: has no {SETTINGS_FILE}")
        return root
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    raise InputError(
        f"{here}: neither here nor in a folder above is a {SETTINGS_FILE}",
        "run inside a project, or name one with --project",
    )


def project_settings() -> Settings:
    """The settings of the project.

    Raises:
        InputError: there is no project, or its settings are wrong.
    """
    from dap.settings import load  # loads slowly

    return load(project_root() / SETTINGS_FILE)


def host_settings() -> Settings:
    """The settings of a project that runs on hosts.

    Raises:
        InputError: there is no project, its settings are wrong, or it runs on a cluster.
    """
    settings = project_settings()
    if settings.cluster is not None:
        raise InputError(
            f"{SETTINGS_FILE}: target: kubernetes: this asks hosts, and a cluster has none",
            f"ask the cluster: kubectl --context {settings.cluster.context} "
            f"--namespace {settings.namespace} get pods",
        )
    return settings
