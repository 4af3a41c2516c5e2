"""A platform of which the number of people and workspaces changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from demo.project import Project
from tests.cluster import fakes
from tests.cluster.cluster import Cluster
from tests.cluster.platform import DOMAIN, ClusterPlatform

PORTS = {"http": 31080, "https": 31443, "ssh": 31222, "postgres": 31432, "workspaces": 31200}


@dataclass
class GrowingPlatform(ClusterPlatform):
    """A platform whose workspaces' pods are on fake nodes; no workspace at first."""

    @classmethod
    def on(cls, cluster: Cluster) -> GrowingPlatform:
        """The platform of a cluster, beside the one of the other tests."""
        name, directory = f"{cluster.name}-grow", cluster.directory / "growing"
        project = Project(directory, name, DOMAIN, cluster.addresses.node, PORTS["ssh"])
        return cls(cluster, project, ports=PORTS)

    def grow(self, count: int, **more: dict[str, Any]) -> None:
        """Say in the settings how many people there are, each with a workspace.

        Args:
            count: of them, beside the administrator.
            more: further settings of workspaces, by their names.
        """
        file = self.project.path / "platform.yml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        data["users"] = [*data["users"][:1], *fakes.users(count)]
        data["workspaces"] = [each | more.get(each["name"], {}) for each in fakes.workspaces(count)]
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def look(self) -> None:
        """Ask what a deploy would change.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        self.dap("plan").check_returncode()
