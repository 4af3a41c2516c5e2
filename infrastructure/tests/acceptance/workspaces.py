"""Workspaces as the tests meet them."""

from __future__ import annotations

from dataclasses import dataclass

from acceptance.place import Place
from acceptance.platform import Deployed


@dataclass(frozen=True)
class Workspace:
    """A running workspace; `environments` is what it starts from, itself first."""

    platform: Deployed
    host: Place
    name: str
    owner: str
    environments: tuple[str, ...]

    @property
    def url(self) -> str | None:
        """Address of the page that it serves."""
        routes = self.platform.prepared.plan.routes
        return next((route.url for route in routes if route.service == self.name), None)

    @property
    def password(self) -> str:
        """Its owner's password, which its page asks for."""
        return self.platform.identity("user", self.owner).password

    def run(self, *command: str) -> str:
        """Run a command in it as its user; return what it prints.

        Raises:
            CheckError: it failed.
        """
        return self.host.execute(self.name, *command)


def workspaces(platform: Deployed) -> list[Workspace]:
    """Return the workspaces of all hosts."""
    environments = platform.prepared.plan.catalogue.environments
    found = []
    for host in platform.hosts:
        for workspace in host.view.workspaces:
            chain = [workspace.environment]
            while chain[-1] in environments:
                parent = environments[chain[-1]].options.parent
                if parent == chain[-1]:
                    break
                chain.append(parent)
            found.append(Workspace(platform, host, workspace.name, workspace.owner, tuple(chain)))
    return found
