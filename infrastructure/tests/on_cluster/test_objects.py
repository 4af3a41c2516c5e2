"""The objects in the cluster are what the settings say, and nothing is beside them."""

from __future__ import annotations

from acceptance import expect_none
from acceptance.cluster import Cluster
from dap.stack.model import SWEPT

REMEDY = "make plan shows what differs; make deploy sets it right"


def test_as_the_settings_say(host: Cluster) -> None:
    """Each field that is asked for; what the cluster adds by itself is its own."""
    expect_none(host.live.drift(host.planned), REMEDY)


def test_nothing_beside_them(host: Cluster) -> None:
    """No object says that it is the platform's and is not."""
    planned = (*host.planned.platform, *host.planned.tasks)
    names = {(each["kind"], each["metadata"]["name"]) for each in planned}
    expect_none(
        (
            f"{kind} {name} says that it is the platform's, and is not planned"
            for version, kind in SWEPT
            for name, each in host.kinds[version, kind].items()
            if host.is_ours(each) and (kind, name) not in names
        ),
        REMEDY,
    )
