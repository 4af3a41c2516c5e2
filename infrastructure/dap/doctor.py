"""Examines hosts before a deploy, and the platform on them after it."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from dap.engine.inventory import host_variables
from dap.engine.prepare import Prepared
from dap.findings import Finding
from dap.mask import masking
from dap.plan import HostPlan
from dap.reach import HostError, ask, each
from dap.status import judge

_TIMEOUT_S = 180
# What a host is told of its variables; the rest is for a deploy alone, secrets among it.
_TOLD = (
    "project", "directory", "owner", "address", "reach", "ports", "limits", "gpus", "names",
    "certificate", "registry", "base", "upstream", "packages", "extra_ca",
    "baseline",
)  # fmt: skip


@dataclass(frozen=True)
class Examination:
    """What was found; `deployed`: on all hosts that answered."""

    platform: str
    deployed: bool
    findings: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """0: no problem, 1: problems."""
        return int(self._count("problem") > 0)

    @property
    def summary(self) -> str:
        """What came of it, in a line."""
        problems, warnings = self._count("problem"), self._count("warning")
        if not problems and not warnings:
            told = "no problem found"
        else:
            told = f"{problems} problem{'s' * (problems != 1)}, "
            told += f"{warnings} warning{'s' * (warnings != 1)}"
        then = "" if problems or self.deployed else "; nothing is deployed yet: make deploy"
        return f"{self.platform}: {told}{then}"

    def _count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    def data(self) -> dict[str, Any]:
        """Return it as plain data for a script."""
        return {
            "ok": self.status == 0,
            "deployed": self.deployed,
            "platform": self.platform,
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine(prepared: Prepared) -> Examination:
    """Ask all hosts at once what they have, lack and reach; changes nothing on them."""
    plan = prepared.plan
    trees = {tree.host: tree for tree in prepared.trees}

    def question(host: HostPlan) -> Any:
        variables = host_variables(
            prepared.root,
            plan,
            host,
            trees[host.host.name],
            prepared.secrets,
            prepared.vault.label,
        )
        told = {name: variables[f"dap_{name}"] for name in _TOLD}
        told.update(variables["dap_minimum"])
        try:
            return ask(prepared.root, host.host, "doctor", told, timeout_s=_TIMEOUT_S)
        except HostError as error:
            return error

    findings: list[Finding] = []
    deployed = []
    for host, answer in zip(plan.hosts, each(plan.hosts, question), strict=True):
        name = host.host.name
        if isinstance(answer, HostError):
            findings.append(Finding("problem", name, "host", answer.message, answer.hint))
            continue
        deployed.append(answer["deployed"])
        findings += [Finding(host=name, **told) for told in answer["findings"]]
        if answer["deployed"]:
            findings += _platform(answer["facts"], prepared)
    return Examination(plan.settings.name, bool(deployed) and all(deployed), tuple(findings))


def _platform(facts: Any, prepared: Prepared) -> list[Finding]:
    """Return what `dap status` would say, less what the host has judged already."""
    status = judge(facts, dt.datetime.now(dt.UTC), masking(prepared.secrets))
    found = [finding for finding in status.findings if finding.where not in ("disk", "docker")]
    well = sum(row.well for row in status.rows)
    if well == len(status.rows):
        found.append(Finding("ok", status.host, "services", f"all {well} are well"))
    found += [
        Finding("ok", status.host, "certificate", f"{each.name}: {each.days} days left")
        for each in status.certificates
        if each.days > 0
    ]
    return found
