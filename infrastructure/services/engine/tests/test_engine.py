"""Nobody gets to the engine of a runner host without the service host's certificate."""

from __future__ import annotations

import socket
import ssl

import pytest
from acceptance import Deployed, expect


def test_engines_answer_no_stranger(platform: Deployed) -> None:
    hosts = [each.host for each in platform.prepared.plan.hosts]
    runners = [host for host in hosts if host.runs_jobs and not host.service]
    if not runners:
        pytest.skip("jobs run on the service host alone")
    for host in runners:
        answer = answered(host.listen, platform.settings.ports.engines)
        what = f"Docker's engine of {host.name} answers without a certificate: {answer[:80]!r}"
        expect(not answer, what, "make deploy")


def answered(address: str, port: int) -> bytes:
    """Return what an engine answers somebody without a certificate."""
    # Whoever it is: what matters is whether it talks to us.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address, port), timeout=10) as raw,
            context.wrap_socket(raw) as connection,
        ):
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            return connection.recv(1024)
    except (ssl.SSLError, ConnectionError):
        return b""
