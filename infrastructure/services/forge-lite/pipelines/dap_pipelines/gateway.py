"""The gateway to the Docker engine that one pipeline has: a socket that follows `policy`."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dap_pipelines import engine
from dap_pipelines.policy import Policy, RefusedError
from dap_pipelines.values import ENGINE_SOCKET

HEAD_BYTES = 65536
BODY_BYTES = 4 * 1024 * 1024
BLOCK = 65536


class Gateway:
    """Serves one pipeline; each connection carries one request."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._server: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        """Listen on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._serve, path, limit=HEAD_BYTES)

    def close(self) -> None:
        """Take no further calls."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._one(reader, writer)
        except RefusedError as refused:
            _answer(writer, 403, {"message": f"not allowed in a pipeline: {refused}"})
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            _answer(writer, 502, {"message": f"the Docker engine can't be asked: {error}"})
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = request.split(" ")
        headers = [
            (key.strip().lower(), value.strip())
            for key, _, value in (line.partition(":") for line in lines)
        ]
        url = urlsplit(target)
        path = unquote(re.sub(r"^/v1\.[0-9]+(?=/)", "", url.path))
        if ".." in path.split("/"):
            raise RefusedError("a path with ..")
        kind = self.policy.check(method, path, dict(parse_qsl(url.query, keep_blank_values=True)))
        if kind != "plain":
            asked = json.loads(await _body(reader, dict(headers)))
            status, answer = await asyncio.to_thread(self._create, kind, asked)
            _answer(writer, status, answer)
            return
        upgrade = any(key == "upgrade" for key, _ in headers)
        kept = [(key, value) for key, value in headers if upgrade or key != "connection"]
        if not upgrade:
            kept.append(("connection", "close"))
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(
            ENGINE_SOCKET, limit=HEAD_BYTES
        )
        try:
            text = "".join(f"{key}: {value}\r\n" for key, value in kept)
            upstream_writer.write(f"{request}\r\n{text}\r\n".encode("latin-1"))
            upward = asyncio.create_task(_copy(reader, upstream_writer))
            try:
                await _copy(upstream_reader, writer)
            finally:
                upward.cancel()
        finally:
            upstream_writer.close()

    def _create(self, kind: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        policy = self.policy
        try:
            if kind == "container":
                answer = engine.call("POST", "/containers/create", policy.container(asked))
                policy.containers.add(answer["Id"])
                if answer and asked_network(asked) in policy.networks:
                    # Beside its services' network, a job has the one that all jobs have.
                    engine.call(
                        "POST", f"/networks/{policy.network}/connect", {"Container": answer["Id"]}
                    )
            elif kind == "volume":
                answer = engine.call("POST", "/volumes/create", policy.volume(asked))
                # The engine answers with the volume of that name where there is one already.
                if (answer.get("Labels") or {}) != policy.labels:
                    raise RefusedError(f"volume {answer['Name']} is not this pipeline's")
                policy.volumes.add(answer["Name"])
            else:
                body = policy.new_network(asked)
                answer = engine.call("POST", "/networks/create", body)
                policy.networks |= {answer["Id"], body["Name"]}
        except engine.EngineError as error:
            return error.status, _decoded(str(error))
        return 201, answer


def asked_network(asked: dict[str, Any]) -> str:
    """Return the network that a new container is asked to join."""
    return str((asked.get("HostConfig") or {}).get("NetworkMode") or "default")


def _decoded(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"message": text}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "content-length" in headers:
        length = int(headers["content-length"])
        if not 0 <= length <= BODY_BYTES:
            raise RefusedError("a request of this size")
        return await reader.readexactly(length)
    body = b""
    while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(body) + length > BODY_BYTES:
            raise RefusedError("a request of this size")
        body += await reader.readexactly(length)
        await reader.readexactly(2)
    return body


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(BLOCK):
        writer.write(block)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _answer(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    if writer.is_closing():
        return
    text = json.dumps(body).encode()
    writer.write(
        f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        "Connection: close\r\n\r\n".encode()
        + text
    )
