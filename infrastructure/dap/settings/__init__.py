"""Typed settings of a platform: `load` reads `platform.yml` and refuses what is wrong in it."""

from dap.settings.checks import EVERYWHERE
from dap.settings.load import load
from dap.settings.models import (
    Cluster,
    ClusterRegistry,
    ComputeCluster,
    Host,
    JobLimits,
    Limits,
    Project,
    Reserve,
    Settings,
    Store,
    Toleration,
    User,
    Workspace,
)
from dap.settings.problem import Problem, SettingsError, choice, refusal
from dap.settings.types import Gpus, duration_seconds, jump_parts, memory_bytes

__all__ = [
    "EVERYWHERE",
    "Cluster",
    "ClusterRegistry",
    "ComputeCluster",
    "Gpus",
    "Host",
    "JobLimits",
    "Limits",
    "Problem",
    "Project",
    "Reserve",
    "Settings",
    "SettingsError",
    "Store",
    "Toleration",
    "User",
    "Workspace",
    "choice",
    "duration_seconds",
    "jump_parts",
    "load",
    "memory_bytes",
    "refusal",
]
