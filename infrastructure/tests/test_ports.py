"""Only the proxy is reachable from outside, and only at its own ports."""

from __future__ import annotations

from typing import Any

from acceptance import Deployed, expect, expect_none
from acceptance.platform import inspect
from acceptance.sockets import addresses, is_open, is_served, listening
from dap.engine.observe import docker
from dap.plan import Stream

REMEDY = "docker rm --force the container; make deploy"
EVERYWHERE = {"0.0.0.0", "::", ""}


def bindings(container: dict[str, Any]) -> set[tuple[str, int]]:
    """Return the addresses and ports of the host that a running container has."""
    ports = container["NetworkSettings"]["Ports"] or {}
    return {
        (bound["HostIp"], int(bound["HostPort"])) for each in ports.values() for bound in each or ()
    }


def planned(platform: Deployed) -> set[tuple[str, int]]:
    """Return the addresses and ports of the host that are the proxy's."""
    settings = platform.settings
    ports = {settings.ports.http, settings.ports.https}
    ports |= {stream.listen for stream in platform.prepared.plan.streams}
    return {(str(settings.address), port) for port in ports}


def test_only_the_proxy_publishes_ports(platform: Deployed) -> None:
    wanted = planned(platform)
    problems = []
    for container in platform.running:
        name = container["Name"].lstrip("/")
        entry = container["Id"] == platform.containers[platform.entry]["Id"]
        for address, port in sorted(bindings(container) - (wanted if entry else set())):
            problems.append(f"{name} publishes {address}:{port}")
        if container["HostConfig"]["NetworkMode"] == "host":
            problems.append(f"{name} is in the network of the host")
    expect_none(problems, REMEDY)
    missing = wanted - bindings(platform.containers[platform.entry])
    expect_none((f"{platform.entry} lacks {a}:{p}" for a, p in sorted(missing)), "make deploy")


def test_every_other_port_is_closed(platform: Deployed) -> None:
    """Every port that a container listens on is tried at every address of this machine."""
    engine = inspect(docker("ps", "--quiet", "--no-trunc").split())
    ours = {container["Id"] for container in platform.running}
    taken = {  # by something that is not ours
        binding for each in engine if each["Id"] not in ours for binding in bindings(each)
    }
    published = {binding for each in engine for binding in bindings(each)}
    ports = {port for each in platform.running for port in listening(each["State"]["Pid"])}
    ports |= {port for each in platform.running for _, port in bindings(each)}
    of_host = listening("self") - {port for _, port in published}
    wanted = planned(platform)
    problems = []
    for address in sorted(addresses()):
        for port in sorted(ports - of_host):
            known = {(address, port)} | {(wildcard, port) for wildcard in EVERYWHERE}
            if not known & (wanted | taken) and is_open(address, port):
                problems.append(f"{address}:{port} is open")
    expect_none(problems, f"docker ps --filter publish=PORT shows whose it is; {REMEDY}")


def test_stream_answers(platform: Deployed, stream: Stream) -> None:
    expect(
        is_served(platform.address, stream.listen),
        f"nothing answers at {stream.hostname}:{stream.listen}",
        f"docker compose logs {platform.entry} {stream.service} in {platform.directory}",
    )
