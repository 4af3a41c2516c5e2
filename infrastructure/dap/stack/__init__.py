"""Engine 2: Pulumi makes the objects of a platform in its cluster."""

from dap.stack.deploy import Deployed, deploy, destroy
from dap.stack.engine import Change, Engine, Result
from dap.stack.images import have as have_images
from dap.stack.images import needed as needed_images
from dap.stack.plan import objects_of, plan
from dap.stack.status import status

__all__ = [
    "Change",
    "Deployed",
    "Engine",
    "Result",
    "deploy",
    "destroy",
    "have_images",
    "needed_images",
    "objects_of",
    "plan",
    "status",
]
