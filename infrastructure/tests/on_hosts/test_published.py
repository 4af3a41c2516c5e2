"""Only the proxy is reachable from outside, and only at its own ports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acceptance import Host, expect_none

REMEDY = "docker rm --force the container; make deploy"
EVERYWHERE = {"0.0.0.0", "::", ""}


def bindings(container: dict[str, Any]) -> set[tuple[str, int]]:
    """Return the addresses and ports of the host that a running container has."""
    ports = container["NetworkSettings"]["Ports"] or {}
    return {
        (bound["HostIp"], int(bound["HostPort"])) for each in ports.values() for bound in each or ()
    }


def test_only_the_proxy_publishes_ports(host: Host) -> None:
    problems = []
    entry = host.container(host.entry)
    for container in host.running:
        name = container["Name"].lstrip("/")
        its_own = host.published if container["Id"] == entry["Id"] else set()
        for address, port in sorted(bindings(container) - its_own):
            problems.append(f"{name} publishes {address}:{port}")
        if container["HostConfig"]["NetworkMode"] == "host":
            problems.append(f"{name} is in the network of the host")
    expect_none(problems, REMEDY)
    missing = host.published - bindings(entry)
    expect_none((f"{host.entry} lacks {a}:{p}" for a, p in sorted(missing)), "make deploy")


def test_every_other_port_is_closed(host: Host) -> None:
    """Every port that a container listens on is tried at every address of its host."""
    ours = {container["Id"] for container in host.running}
    others = [each for each in host.engine if each["Id"] not in ours]
    may = host.published | of_all(others)
    found = host.ask(
        "ports",
        processes=[each["State"]["Pid"] for each in host.running],
        ports=[port for _, port in of_all(host.running)],
        published=[port for _, port in of_all(host.engine)],
        known=[("" if address in EVERYWHERE else address, port) for address, port in may],
    )
    expect_none(
        (f"{address}:{port} is open" for address, port in found),
        f"docker ps --filter publish=PORT shows whose it is; {REMEDY}",
    )


def of_all(containers: Iterable[dict[str, Any]]) -> set[tuple[str, int]]:
    """Return the addresses and ports of the host that running containers have."""
    return {binding for each in containers for binding in bindings(each)}
