"""Each host is what its baseline says."""

from __future__ import annotations

from acceptance import Deployed, expect_none
from dap.engine.inventory import host_variables
from dap.reach import ask


def test_hosts_are_as_their_baseline_says(platform: Deployed) -> None:
    prepared = platform.prepared
    trees = {tree.host: tree for tree in prepared.trees}
    problems = []
    for host in prepared.plan.hosts:
        name = host.host.name
        of_host = (host, trees[name], prepared.secrets, prepared.vault.label)
        told = host_variables(prepared.root, prepared.plan, *of_host)
        asked = {"project": platform.name, "baseline": told["dap_baseline"]}
        found = ask(prepared.root, host.host, "baseline", asked, timeout_s=60)
        problems += [f"{name}: {each['what']}" for each in found if each["level"] != "ok"]
    expect_none(problems, "make deploy")
