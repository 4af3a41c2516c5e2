"""Connections to engines of other hosts: TLS, both sides known, each direction ends by itself."""

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from dap.secrets.certificates import Pair, issue, make_authority
from dap_pipelines.channel import Channel, connect_tls

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
NOW = dt.datetime.now(dt.UTC)
LONG = b"x" * 3_000_000


class Hosts:
    """Certificates of hosts, as the platform makes them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.authority = make_authority("dap hosts", NOW)
        (place / "ca.pem").write_text(self.authority.certificate)

    def files(self, name: str, usages: list[object], authority: Pair | None = None) -> Path:
        """A file of a host's key and certificate."""
        made = issue(authority or self.authority, [name], usages, NOW)  # type: ignore[arg-type]
        path = self.place / f"{name}.pem"
        path.write_text(made.key + made.certificate)
        return path

    def client(self, own: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.place / "ca.pem"))
        context.load_cert_chain(own)
        return context


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


@pytest.fixture
def server(hosts: Hosts) -> Iterator[int]:
    """A host `far` that answers what it got once all of it is there; its port."""
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(hosts.place / "ca.pem")
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(hosts.files("far", [SERVER]))
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            raw.settimeout(10)
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    got = b"first\n"
                    connection.sendall(got)
                    while block := connection.recv(65536):
                        got += block
                    connection.sendall(got)
            except OSError:
                raw.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    # close() alone would not wake who waits in accept().
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


async def exchange(channel: Channel, data: bytes) -> bytes:
    answer = b""
    try:
        await channel.write(data)
        await channel.end()
        while block := await channel.read():
            answer += block
    finally:
        channel.close()
    return answer


def talk(port: int, context: ssl.SSLContext, name: str = "far", data: bytes = b"hello") -> bytes:
    async def go() -> bytes:
        async with asyncio.timeout(10):
            return await exchange(await connect_tls("127.0.0.1", port, context, name), data)

    return asyncio.run(go())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("data", [b"", b"hello", LONG])
def test_output_comes_after_the_end_of_the_input(
    hosts: Hosts, server: int, data: bytes, version: ssl.TLSVersion
) -> None:
    context = hosts.client(hosts.files("hub", [SERVER, CLIENT]))
    context.maximum_version = version
    assert talk(server, context, data=data) == b"first\nfirst\n" + data


def of_another_name(hosts: Hosts) -> tuple[ssl.SSLContext, str]:
    return hosts.client(hosts.files("hub", [SERVER, CLIENT])), "near"


def of_no_client(hosts: Hosts) -> tuple[ssl.SSLContext, str]:
    return hosts.client(hosts.files("two", [SERVER])), "far"


def of_another_authority(hosts: Hosts) -> tuple[ssl.SSLContext, str]:
    other = make_authority("other hosts", NOW)
    return hosts.client(hosts.files("hub", [SERVER, CLIENT], other)), "far"


def without_certificate(hosts: Hosts) -> tuple[ssl.SSLContext, str]:
    return ssl.create_default_context(cafile=str(hosts.place / "ca.pem")), "far"


def of_another_platform(hosts: Hosts) -> tuple[ssl.SSLContext, str]:
    context = ssl.create_default_context()
    context.load_cert_chain(hosts.files("hub", [SERVER, CLIENT]))
    return context, "far"


@pytest.mark.parametrize(
    "who",
    [
        *(of_another_name, of_no_client, of_another_authority),
        *(without_certificate, of_another_platform),
    ],
)
def test_who_is_not_known_is_not_talked_to(
    hosts: Hosts, server: int, who: Callable[[Hosts], tuple[ssl.SSLContext, str]]
) -> None:
    context, name = who(hosts)
    with pytest.raises(OSError, match=r"(?i)certificate|closed|reset|alert|lost"):
        talk(server, context, name)
