"""Runs a run's job again, from its tags, and compares the metrics."""

from dap.reproduce.compare import Metric
from dap.reproduce.model import Account, Run, Runs
from dap.reproduce.origin import UnreproducibleError
from dap.reproduce.steps import Asked, Reproduction, reproduce

__all__ = [
    "Account",
    "Asked",
    "Metric",
    "Reproduction",
    "Run",
    "Runs",
    "UnreproducibleError",
    "reproduce",
]
