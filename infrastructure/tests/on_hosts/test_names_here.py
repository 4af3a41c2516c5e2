"""The platform's names lead to its proxy on its hosts."""

from __future__ import annotations

from acceptance import Host
from acceptance.lookup import expect_all_at, found_by


def test_names_on_the_host(host: Host) -> None:
    found = found_by(host.run, host)
    remedy = "make deploy writes them to /etc/hosts, or see your DNS"
    expect_all_at(found, host.names_lead_to, remedy)
