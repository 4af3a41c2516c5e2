"""Engine 1: runs Ansible over the rendered trees."""

from dap.engine.images import build_images
from dap.engine.playbook import Failure, Outcome, Step
from dap.engine.prepare import Prepared, prepare
from dap.engine.progress import Progress
from dap.engine.run import run

__all__ = [
    "Failure",
    "Outcome",
    "Prepared",
    "Progress",
    "Step",
    "build_images",
    "prepare",
    "run",
]
