"""A cluster that runs jobs beside the platform: what of it is well, and a job that runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dap.engine import Prepared
from dap.plan import HostPlan
from dap.settings.cluster import OWN_JOBS

from acceptance.findings import expect_none


@dataclass(frozen=True)
class Compute:
    """A cluster of `clusters`.

    Attributes:
        name: in the settings.
        lacks: service, or `cluster` where it can't be asked → what it lacks.
        address: where jobs there find the platform; empty: where the cluster's DNS says.
        names: of the platform.
    """

    name: str
    lacks: Mapping[str, str]
    address: str
    names: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether its services are well."""
        return not self.lacks

    def reached(self) -> None:
        """Go on if its services are well.

        Raises:
            CheckError: one is not, or the cluster can't be asked.
        """
        problems = [f"{service}: {why}" for service, why in self.lacks.items()]
        expect_none(problems, "make doctor says more; make deploy")


def computes(prepared: Prepared) -> Sequence[Compute]:
    """Ask each cluster of `clusters` how its services are."""
    plan = prepared.plan
    listed = [host for host in plan.clusters if host.host.name != OWN_JOBS]
    if not listed:
        return ()
    # What asks a cluster is installed for one alone.
    from dap.stack import clusters

    found = clusters.status(prepared)
    names = plan.names(plan.service_host)

    def compute(host: HostPlan) -> Compute:
        rows = {row.service: row.lacks for row in found[host.host.name] if row.lacks}
        address = host.host.jobs.platform_address if host.host.jobs else None
        return Compute(host.host.name, rows, str(address or ""), names)

    return [compute(host) for host in listed]
