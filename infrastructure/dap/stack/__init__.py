"""Engine 2: Pulumi makes the objects of a platform in its cluster."""

from dap.stack.deploy import Deployed, deploy, destroy
from dap.stack.engine import Change, Engine, Result
from dap.stack.plan import objects_of, plan
from dap.stack.status import status

__all__ = [
    "Change",
    "Deployed",
    "Engine",
    "Result",
    "deploy",
    "destroy",
    "objects_of",
    "plan",
    "status",
]
