"""The platform's names lead to its proxy: on the host, in workspaces and in jobs."""

from __future__ import annotations

from collections.abc import Mapping

import testinfra
from acceptance import Deployed, Ran, Workspace, expect_none
from acceptance.jobs import NAMES


def found_by(place: str, names: list[str]) -> dict[str, list[str]]:
    """Return where names lead to at a place, given as testinfra names hosts."""
    host = testinfra.get_host(place)
    return {name: sorted(set(host.addr(name).ip_addresses)) for name in names}


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


def test_names_on_the_host(platform: Deployed) -> None:
    found = found_by("local://", platform.names)
    expect_all_at(found, platform.address, "make deploy writes them to /etc/hosts, or see your DNS")


def test_names_in_a_workspace(platform: Deployed, workspace: Workspace) -> None:
    container = platform.containers[workspace.name]["Id"]
    found = found_by(f"docker://{container}", platform.names)
    expect_all_at(found, platform.edge_address, "make deploy")


def test_names_in_a_job(platform: Deployed, pipeline: Ran) -> None:
    expect_all_at(pipeline.output(NAMES), platform.edge_address, "make deploy")
