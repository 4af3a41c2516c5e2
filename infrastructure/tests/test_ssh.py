"""SSH servers show the host key that people were told, and let nobody in without a key."""

from __future__ import annotations

from acceptance import Deployed, Host, Place, expect_none
from acceptance.commands import do as here
from dap.secrets.kinds import ssh_public_key

# A stranger asks: the key that is to be shown on standard input, then address and port.
KNOCK = """\
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cat >"$folder/known"
ssh -F none -o UserKnownHostsFile="$folder/known" -o GlobalKnownHostsFile=none \
    -o HostKeyAlias=server -o StrictHostKeyChecking=yes -o BatchMode=yes -o IdentitiesOnly=yes \
    -o IdentityFile="$folder/none" -o ConnectTimeout=10 -p "$2" "dap.verify@$1" true </dev/null
"""


def welcome(platform: Deployed, host: Host | None, address: str, port: int, secret: str) -> str:
    """Return what is wrong with a server: it shows another key, or lets a stranger in.

    Args:
        platform: knows the key.
        host: who asks; none: this machine.
        address: of the server.
        port: of the server.
        secret: name of its host key.
    """
    known = f"server {ssh_public_key(platform.prepared.secrets[secret])}\n"
    knock = ("sh", "-c", KNOCK, "sh", address, str(port))
    done = host.do(*knock, stdin=known) if host else here(*knock, stdin=known)
    said = done.stderr.decode(errors="replace").strip()
    # Refused after the host key was found right.
    if done.returncode == 255 and "Permission denied (publickey)" in said:
        return ""
    return said or "come in"


def test_ssh_from_outside(platform: Deployed) -> None:
    """At every port of the proxies with an SSH server behind it."""
    problems = []
    for stream in platform.prepared.plan.streams:
        if stream.ssh is None or stream.service in platform.resting:
            continue
        asks, address = platform.way_to(stream)
        said = welcome(platform, asks, address, stream.listen, stream.ssh.host_key)
        if said:
            place = f"{stream.hostname}:{stream.listen}"
            problems.append(f"{place} says to somebody without a key: {said}")
    expect_none(problems, f"{platform.service_host.logs(platform.entry)}; make deploy")


def test_ssh_inside(platform: Deployed, host: Place) -> None:
    """As somebody who is past the jump would meet it."""
    problems = []
    for service in host.part.services:
        if service.task or service.ssh is None or service.name in host.resting:
            continue
        with host.past_the_proxy(service.name, service.ssh.port) as (asks, address, port):
            said = welcome(platform, asks, address, port, service.ssh.host_key)
        if said:
            problems.append(f"{service.name} says to somebody without a key: {said}")
    expect_none(problems, f"{host.logs('SERVICE')}; make deploy")
