"""The rendered tree of a platform becomes Kubernetes objects."""

from dap.cluster.build import Objects, objects
from dap.cluster.model import Manifest

__all__ = ["Manifest", "Objects", "objects"]
