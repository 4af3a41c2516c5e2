"""Engine 2: Pulumi makes the objects of a platform in its cluster."""

from dap.stack.engine import Change, Engine, Result

__all__ = ["Change", "Engine", "Result"]
