"""Asks all hosts of a platform how it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dap.findings import Finding
from dap.reach import HostError, ask, each
from dap.settings import Host, Settings
from dap.status.judge import HostStatus, judge

_TIMEOUT_S = 60


@dataclass(frozen=True)
class Survey:
    """What the hosts said; `silent` can't be asked, `bare` have nothing deployed."""

    platform: str
    hosts: tuple[HostStatus, ...]
    silent: tuple[Finding, ...]
    bare: tuple[Finding, ...]

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong, on all hosts."""
        told = [finding for host in self.hosts for finding in host.findings]
        return [*told, *self.bare, *self.silent]

    @property
    def status(self) -> int:
        """0: all is well, 1: something is not, 2: not deployed, or a host can't be asked."""
        if self.silent or self.bare:
            return 2
        return int(any(finding.level == "problem" for finding in self.findings))

    def data(self) -> dict[str, Any]:
        """Return it as plain data for a script."""
        return {
            "ok": self.status == 0,
            "deployed": not self.bare,
            "platform": self.platform,
            "services": [asdict(row) for host in self.hosts for row in host.rows],
            "disks": [{"host": host.host, **disk} for host in self.hosts for disk in host.disks],
            "certificates": [
                {
                    "host": host.host,
                    "name": certificate.name,
                    "until": certificate.until.isoformat(),
                    "days": certificate.days,
                }
                for host in self.hosts
                for certificate in host.certificates
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


def survey(root: Path, settings: Settings, mask: Callable[[str], str]) -> Survey:
    """Ask all hosts at once.

    Args:
        root: the project's folder.
        settings: name the hosts.
        mask: takes secrets out of what a service said.
    """

    def question(host: Host) -> Any:
        arguments = {"project": settings.name, "directory": settings.directory(host)}
        try:
            return ask(root, host, "status", arguments, timeout_s=_TIMEOUT_S)
        except HostError as error:
            return error

    hosts: list[HostStatus] = []
    silent: list[Finding] = []
    bare: list[Finding] = []
    for host, answer in zip(settings.hosts, each(settings.hosts, question), strict=True):
        if isinstance(answer, HostError):
            silent.append(Finding("problem", host.name, "host", answer.message, answer.hint))
        elif answer["plan"] is None or not (answer["containers"] or "error" in answer["engine"]):
            where = settings.directory(host)
            what = f"{settings.name} is not deployed here: " + (
                f"{where} has no plan.json of this version"
                if answer["plan"] is None
                else "it has no container"
            )
            bare.append(Finding("problem", host.name, "platform", what, "make deploy"))
        else:
            hosts.append(judge(answer, dt.datetime.now(dt.UTC), mask))
    return Survey(settings.name, tuple(hosts), tuple(silent), tuple(bare))
