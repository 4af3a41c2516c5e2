"""What the acceptance tests of all folders share: the running platform, fixtures, findings."""

from acceptance.compute import Compute
from acceptance.findings import CheckError, expect, expect_none
from acceptance.hosts import Host
from acceptance.jobs import Finished, Job, Ran
from acceptance.place import Place
from acceptance.platform import Deployed
from acceptance.workspaces import Workspace

__all__ = [
    "CheckError",
    "Compute",
    "Deployed",
    "Finished",
    "Host",
    "Job",
    "Place",
    "Ran",
    "Workspace",
    "expect",
    "expect_none",
]
