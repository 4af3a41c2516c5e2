"""The jump opens the SSH ports that the plan names, each for its own people, and no more."""

from __future__ import annotations

from acceptance import Deployed, expect, expect_none

ME = "jump"
REMEDY = "make deploy"


def test_nothing_but_connections(platform: Deployed) -> None:
    """As the server itself understands its configuration."""
    told = platform.execute(ME, "/usr/sbin/sshd", "-T", "-f", "/etc/jump/sshd_config")
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
    }
    entries = [s for s in platform.prepared.plan.services if s.ssh]
    wanted["permitopen"] = " ".join(f"{s.name}:{s.ssh.port}" for s in entries if s.ssh)
    expect_none(
        (
            f"{key} is {found.get(key)} where {value} is meant"
            for key, value in wanted.items()
            if found.get(key) != value
        ),
        REMEDY,
    )


def test_each_key_opens_its_own(platform: Deployed) -> None:
    lines = platform.execute(ME, "cat", "/etc/jump/authorized_keys").splitlines()
    problems = []
    for line in lines:
        options, _, key = line.partition(" ")
        user = next((u for u in platform.settings.users if key in u.ssh_keys), None)
        own = {
            f'permitopen="{service.name}:{service.ssh.port}"'
            for service in platform.prepared.plan.services
            if service.ssh and user and user.name in service.ssh.people
        }
        if not own or set(options.split(",")) != {"restrict", "port-forwarding", *own}:
            problems.append(f"the key of {user.name if user else 'nobody'} has {options}")
    expect_none(problems, REMEDY)
    people = {name for s in platform.prepared.plan.services if s.ssh for name in s.ssh.people}
    keys = sum(len(user.ssh_keys) for user in platform.settings.users if user.name in people)
    expect(len(lines) == keys, f"{len(lines)} keys are known where {keys} are meant", REMEDY)
