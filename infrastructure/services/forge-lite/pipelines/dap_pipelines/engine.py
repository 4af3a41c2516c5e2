"""The few calls to Docker engines that the worker itself makes (Engine API)."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, cast
from urllib.parse import quote

from dap_pipelines.channel import Channel, connect, connect_tls
from dap_pipelines.values import (
    ENGINE_SOCKET,
    HOST_CERTIFICATE,
    HOST_KEY,
    HOSTS_CA,
    Host,
    Size,
)

API = "v1.43"
ANSWER_SECONDS = 60
# What is cleared away of a host that may be gone does not hold up the end of a pipeline longer.
CLEAR_SECONDS = 30
AGAIN_SECONDS = 0.1


class EngineError(Exception):
    """The engine refused; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Answer(http.client.HTTPResponse):
    """An answer that was read to its end."""

    def __init__(self, data: bytes, method: str) -> None:
        class Source:
            def makefile(self, *_: object) -> io.BytesIO:
                return io.BytesIO(data)

        super().__init__(cast("socket.socket", Source()), method=method)
        self.begin()


@cache
def credentials() -> ssl.SSLContext:
    """Return what we show to other hosts, and whom we trust there.

    Raises:
        OSError: the files are not there, or no certificates.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=HOSTS_CA)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(HOST_CERTIFICATE, HOST_KEY)
    return context


class Engine:
    """The Docker engine of a host: of this one where the host has no address, or None is given."""

    def __init__(self, host: Host | None = None, path: str = ENGINE_SOCKET) -> None:
        self.host = host
        self.remote = bool(host and host.address)
        self.name = host.name if host else "this host"
        self._path = path

    async def open(self) -> Channel:
        """Return a new connection.

        Raises:
            OSError: the engine does not answer, or is another's.
        """
        if self.host is None or not self.remote:
            return await connect(self._path)
        return await connect_tls(self.host.address, self.host.port, credentials(), self.name)

    async def ask(
        self, method: str, path: str, body: object = None, seconds: float = ANSWER_SECONDS
    ) -> tuple[bytes, http.client.HTTPMessage]:
        """Return the engine's answer and its headers.

        Raises:
            EngineError: it refused. OSError: it is not there.
        """
        text = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /{API}{path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        async with asyncio.timeout(seconds):
            channel = await self.open()
            try:
                await channel.write(head.encode() + text)
                data = b""
                while block := await channel.read():
                    data += block
            finally:
                channel.close()
        try:
            answer = _Answer(data, method)
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionResetError(f"no whole answer: {error!r}") from error
        if answer.status >= 400:
            raise EngineError(answer.status, content.decode(errors="replace").strip())
        return content, answer.headers

    async def call(
        self, method: str, path: str, body: object = None, seconds: float = ANSWER_SECONDS
    ) -> Any:
        """Return the engine's answer, decoded.

        Raises:
            EngineError: it refused. OSError: it is not there.
        """
        answer, _ = await self.ask(method, path, body, seconds)
        return json.loads(answer) if answer.strip() else None

    async def resolve(self, image: str, repository: str) -> str:
        """Return a reference of an image there that can't move: `repository`'s digest, else its id.

        Raises:
            EngineError: the image is not there. OSError: the engine is not.
        """
        found = await self.call("GET", f"/images/{quote(image, safe='')}/json")
        for reference in found.get("RepoDigests") or []:
            if reference.startswith(f"{repository}@"):
                return str(reference)
        return str(found["Id"])

    async def size(self) -> Size:
        """Return what the host has.

        Raises:
            EngineError, OSError: the engine can't be asked.
        """
        info = await self.call("GET", "/info")
        return Size(int(info["NCPU"]), int(info["MemTotal"]))

    async def helper(self, platform: str) -> str:
        """Return the id of the image that copies artifacts: of what brings us to this engine.

        Raises:
            EngineError, OSError: the engine can't be asked. LookupError: there is none.
        """
        if not self.remote:
            return str(
                (await self.call("GET", f"/containers/{socket.gethostname()}/json"))["Image"]
            )
        mine = [
            f"com.docker.compose.project={platform}",
            "com.docker.compose.service=engine",
        ]
        found = await self.call("GET", f"/containers/json?filters={_filters(mine)}")
        if not found:
            raise LookupError(f"{self.name} has no container of the service engine")
        return str(found[0]["ImageID"])

    async def out_of_memory(self, labels: Iterable[str]) -> bool:
        """Return whether a container of these labels reached its limit of memory.

        Raises:
            EngineError, OSError: the engine can't be asked.
        """
        until = time.time()
        if self.remote:
            # Another host's clock may be another; it tells whole seconds.
            _, headers = await self.ask("GET", "/_ping")
            until = parsedate_to_datetime(headers["Date"]).timestamp() + 1
        wanted = quote(json.dumps({"event": ["oom"], "label": list(labels)}))
        answer, _ = await self.ask("GET", f"/events?since=0&until={until:.3f}&filters={wanted}")
        return bool(answer.strip())

    async def clear(self, labels: Iterable[str]) -> int:
        """Remove the containers, networks and volumes that have all these labels; return how many.

        Raises:
            EngineError, OSError: the engine can't be asked, or refuses.
        """
        wanted = _filters(labels)
        total = 0
        while True:
            containers, networks, volumes = await asyncio.gather(
                self.call("GET", f"/containers/json?all=true&filters={wanted}"),
                self.call("GET", f"/networks?filters={wanted}"),
                self.call("GET", f"/volumes?filters={wanted}"),
            )
            rest = [f"/networks/{each['Id']}" for each in networks]
            rest += [f"/volumes/{each['Name']}?force=true" for each in volumes["Volumes"] or []]
            if not containers and not rest:
                return total
            held = [f"/containers/{each['Id']}?force=true&v=true" for each in containers]
            gone = await asyncio.gather(*map(self._remove, held))
            gone += await asyncio.gather(*map(self._remove, rest))
            total += sum(gone)
            # Somebody else removes it at this moment, and what it holds can't go before it.
            if not all(gone):
                await asyncio.sleep(AGAIN_SECONDS)

    async def _remove(self, path: str) -> bool:
        """Return whether it is gone; it is not where its removal is under way, or it is in use."""
        try:
            await self.call("DELETE", path)
        except EngineError as error:
            if error.status not in (404, 409):
                raise
            return error.status == 404
        return True


def _filters(labels: Iterable[str]) -> str:
    return quote(json.dumps({"label": list(labels)}))


def labels(platform: str, pipeline: int | None = None) -> list[str]:
    """Return the labels of what belongs to a pipeline, or to any (None)."""
    mine = "dap.pipeline" if pipeline is None else f"dap.pipeline={pipeline}"
    return [mine, f"dap.platform={platform}"]


async def clear(engines: Iterable[Engine], wanted: Iterable[str]) -> None:
    """Clear engines of what has these labels, all at once; those that can't be asked are left out.

    The coordinator clears a host that was gone before it gives anybody a slot there.
    """
    labels = list(wanted)

    async def one(engine: Engine) -> None:
        async with asyncio.timeout(CLEAR_SECONDS):
            await engine.clear(labels)

    asked = list(engines)
    results = await asyncio.gather(*map(one, asked), return_exceptions=True)
    for engine, result in zip(asked, results, strict=True):
        if isinstance(result, BaseException) and not engine.remote:
            raise result
