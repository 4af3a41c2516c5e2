"""Makes what lives inside the services: databases, buckets, accounts.

Runs in a container beside the services, with nothing else of `dap` around it. `content.py` of a
service folder has a function `apply(context: Context) -> None`.
"""

from dap.content.context import ContentError, Context

__all__ = ["ContentError", "Context"]
