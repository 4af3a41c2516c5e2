"""The platform's names lead to its proxy: on the hosts, in workspaces and in jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from acceptance import Host, Ran, Workspace, expect_none
from acceptance.jobs import names_job

LOOK_UP = """\
for name; do
    getent ahosts "$name" | while read -r address rest; do echo "$name $address"; done
done
"""


def found_by(run: Callable[..., str], host: Host) -> dict[str, list[str]]:
    """Return where the names of a host lead to, at the place where `run` runs a command."""
    said = run("sh", "-c", LOOK_UP, "sh", *host.names).splitlines()
    pairs = {tuple(line.split()) for line in said}
    return {name: sorted(address for n, address in pairs if n == name) for name in host.names}


def expect_all_at(found: Mapping[str, list[str]], address: str, remedy: str) -> None:
    """Go on if every name leads to one address alone."""
    expect_none(
        (
            f"{name} leads to {' and '.join(addresses) or 'nowhere'}, not to {address}"
            for name, addresses in found.items()
            if addresses != [address]
        ),
        remedy,
    )


def test_names_on_the_host(host: Host) -> None:
    found = found_by(host.run, host)
    remedy = "make deploy writes them to /etc/hosts, or see your DNS"
    expect_all_at(found, host.names_lead_to, remedy)


def test_names_in_a_workspace(workspace: Workspace) -> None:
    found = found_by(workspace.run, workspace.host)
    expect_all_at(found, workspace.host.address(workspace.host.entry), "make deploy")


def test_names_in_a_job(host: Host, pipeline: Ran) -> None:
    if not host.view.runs_jobs:
        pytest.skip("it runs no jobs")
    found = pipeline.output(names_job(host))
    expect_all_at(found, host.address(host.entry), "make deploy")
