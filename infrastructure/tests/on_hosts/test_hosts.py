"""Runner hosts answer the service host alone, and hosts know each other by their certificates."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from acceptance import Deployed, Host, expect, expect_none
from dap.onhost import handshake
from dap.secrets.certificates import CLIENT, SERVER, ends_soon, names_of, usages_of
from dap.secrets.hosts import HOSTS_CA, host_certificate, host_key

pytestmark = pytest.mark.several
REFUSED = {400, 401, 403}
REMEDY = "make deploy; if it stays so, take the proxy of that host down until it is mended"


def told(platform: Deployed, host: Host, port: int, asking: Host | None) -> dict[str, Any]:
    """Return what the module `handshake` is told to ask a port of a host, as `asking` or nobody."""
    files = [asking.file_of(secret(asking.name)) for secret in KEPT] if asking else ["", ""]
    return {
        "address": host.view.listen,
        "port": port,
        "name": host.name,
        "authority": platform.prepared.secrets[HOSTS_CA],
        "path": "/",
        "certificate": files[0],
        "key": files[1],
    }


KEPT = (host_certificate, host_key)


def ports(platform: Deployed, host: Host) -> list[int]:
    """Return the ports of a runner host that TLS with certificates of both guards."""
    settings = platform.settings.ports
    return sorted({settings.hosts, settings.engines} & {port for _, port in host.published})


def expect_refused(answer: dict[str, Any], who: str, host: Host, port: int) -> None:
    """Go on if a port let nobody in."""
    status = answer.get("status")
    expect(
        status is None or status in REFUSED,
        f"port {port} of {host.name} answers {who} with {status}",
        REMEDY,
    )


@pytest.fixture
def hub(platform: Deployed) -> Host:
    """The service host."""
    found = platform.service_host
    assert isinstance(found, Host)  # these tests are of hosts
    return found


@pytest.fixture
def others(platform: Deployed, hub: Host, member: Host) -> list[Host]:
    """The runner hosts beside one that answer."""
    found = [host for host in platform.hosts if isinstance(host, Host) and host.is_reached]
    return [host for host in found if host not in (hub, member)]


def test_the_service_host_is_let_in(platform: Deployed, hub: Host, member: Host) -> None:
    """By its certificate, and the other host shows one that fits its name."""
    problems = []
    for port in ports(platform, member):
        answer = hub.ask("handshake", **told(platform, member, port, hub))
        if "error" in answer or answer["status"] in REFUSED:
            said = answer.get("error") or f"it answers {answer['status']}"
            problems.append(f"port {port} of {member.name} does not let {hub.name} in: {said}")
    expect_none(problems, f"make deploy; from {hub.name}, is {member.view.listen} reached at all?")


def test_nobody_else_is_let_in(
    platform: Deployed, hub: Host, member: Host, others: list[Host]
) -> None:
    """Neither without a certificate, from wherever, nor with that of another runner host."""
    for port in ports(platform, member):
        asked = told(platform, member, port, None)
        expect_refused(hub.ask("handshake", **asked), "who has no certificate", member, port)
        expect_refused(handshake.answer(asked), "this machine", member, port)
        for other in others:
            answer = other.ask("handshake", **told(platform, member, port, other))
            expect_refused(answer, f"{other.name} with its certificate", member, port)


def test_certificates_of_hosts_fit(host: Host) -> None:
    """Each names its host alone, lasts, and makes a client of the service host alone."""
    text = host.files(host.file_of(host_certificate(host.name)))
    content = next(iter(text.values())).content or b""
    certificate = content.decode()
    usages = [SERVER, CLIENT] if host.view.service else [SERVER]
    now = dt.datetime.now(dt.UTC)
    expect(names_of(certificate) == [host.name], f"it names {names_of(certificate)}", "make deploy")
    expect(usages_of(certificate) == usages, "it is for other purposes", "make deploy")
    expect(not ends_soon(certificate, now), "it ends within 30 days", "make deploy makes another")
