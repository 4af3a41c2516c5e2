"""Asks a TLS port of another host, as this host or as nobody."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

TIMEOUT_S = 5


def main(arguments: dict[str, Any]) -> None:
    """Print the `status` of the answer, or the `error`.

    `arguments`: address, port, name (that its certificate must bear), authority (PEM), path,
    certificate and key (files to prove by who asks; empty: nobody).
    """
    print(json.dumps(answer(arguments)))


def answer(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what `main` prints."""
    try:
        return {"status": status(**arguments)}
    except (OSError, http.client.HTTPException) as error:
        return {"error": str(error) or type(error).__name__}


def status(
    address: str, port: int, name: str, authority: str, path: str, certificate: str, key: str
) -> int:
    """Return what a GET answers; arguments as of `main`."""
    context = ssl.create_default_context(cadata=authority)
    if certificate:
        context.load_cert_chain(certificate, key)
    with (
        socket.create_connection((address, port), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        secured.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = http.client.HTTPResponse(secured)
        answer.begin()
        return answer.status


def shown(address: str, port: int, name: str) -> dict[str, str]:
    """Return the certificate that a server shows for a name, in PEM, or the error."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is looked at, not trusted: an expired one counts too
    try:
        with (
            socket.create_connection((address, port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError as error:
        return {"error": f"{address} port {port}: {error}"}
    return {"pem": ssl.DER_cert_to_PEM_cert(shown or b"")}
