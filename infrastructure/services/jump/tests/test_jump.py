"""The jump opens the SSH ports that the plan names, each for its own people, and no more."""

from __future__ import annotations

import pytest
from acceptance import Deployed, Place, expect, expect_none
from dap.plan import Service

ME = "jump"
REMEDY = "make deploy"


@pytest.fixture
def way(platform: Deployed, host: Place) -> dict[str, tuple[str, ...]]:
    """What the jump of a host leads to: place → the people who may go there.

    That of the service host leads to those of the others, too.
    """
    if ME not in (service.name for service in host.part.services):
        pytest.skip("no workspace is there")
    places = {f"{each.name}:{each.ssh.port}": each.ssh.people for each in entries(host) if each.ssh}
    for other in platform.hosts if host.view.service else ():
        for stream in other.part.streams:
            if other is not host and stream.ssh and stream.ssh.jump:
                people = {name for each in entries(other) if each.ssh for name in each.ssh.people}
                places[other.view.at(stream.listen)] = tuple(sorted(people))
    return places


def entries(host: Place) -> list[Service]:
    """Return what can be entered by SSH on a host."""
    return [service for service in host.part.services if service.ssh]


def test_nothing_but_connections(host: Place, way: dict[str, tuple[str, ...]]) -> None:
    """As the server itself understands its configuration."""
    told = host.execute(ME, "/usr/sbin/sshd", "-T", "-f", "/etc/jump/sshd_config")
    found = dict(line.split(" ", 1) for line in told.splitlines() if " " in line)
    wanted = {
        "maxsessions": "0",
        "permittty": "no",
        "allowtcpforwarding": "local",
        "allowagentforwarding": "no",
        "allowstreamlocalforwarding": "no",
        "x11forwarding": "no",
        "permittunnel": "no",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "allowusers": "jump",
        "permitopen": " ".join(way),
    }
    expect_none(
        (
            f"{key} is {found.get(key)} where {value} is meant"
            for key, value in wanted.items()
            if found.get(key) != value
        ),
        REMEDY,
    )


def test_each_key_opens_its_own(
    platform: Deployed, host: Place, way: dict[str, tuple[str, ...]]
) -> None:
    lines = host.execute(ME, "cat", "/etc/jump/authorized_keys").splitlines()
    problems = []
    for line in lines:
        options, _, key = line.partition(" ")
        user = next((u for u in platform.settings.users if key in u.ssh_keys), None)
        own = {
            f'permitopen="{place}"' for place, people in way.items() if user and user.name in people
        }
        if not own or set(options.split(",")) != {"restrict", "port-forwarding", *own}:
            problems.append(f"the key of {user.name if user else 'nobody'} has {options}")
    expect_none(problems, REMEDY)
    may = {name for people in way.values() for name in people}
    keys = sum(len(user.ssh_keys) for user in platform.settings.users if user.name in may)
    expect(len(lines) == keys, f"{len(lines)} keys are known where {keys} are meant", REMEDY)
