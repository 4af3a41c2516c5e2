"""A host is what its baseline says."""

from __future__ import annotations

from acceptance import Deployed, Host, expect_none
from dap.engine.inventory import host_variables


def test_as_the_baseline_says(platform: Deployed, host: Host) -> None:
    prepared = platform.prepared
    of_host = (host.part, host.tree, prepared.secrets, prepared.vault.label)
    told = host_variables(prepared.root, prepared.plan, *of_host)
    found = host.ask("baseline", project=platform.name, baseline=told["dap_baseline"])
    expect_none((each["what"] for each in found if each["level"] != "ok"), "make deploy")
