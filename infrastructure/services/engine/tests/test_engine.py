"""Nobody gets to the engine without the service host's certificate."""

from __future__ import annotations

import socket
import ssl

from acceptance import Deployed, expect

SERVICE, PORT = "engine", 2376


def test_the_engine_answers_no_stranger(platform: Deployed) -> None:
    attributes = platform.containers[SERVICE]
    networks = attributes["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    # Whoever it is: what matters is whether it talks to us.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answer = b""
    try:
        with (
            socket.create_connection((address, PORT), timeout=10) as raw,
            context.wrap_socket(raw) as connection,
        ):
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            answer = connection.recv(1024)
    except (ssl.SSLError, ConnectionError):
        pass
    expect(
        not answer, f"Docker's engine answers without a certificate: {answer[:80]!r}", "make deploy"
    )
