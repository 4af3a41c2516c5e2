"""The gateway of one job to the Docker engine of its host: a socket that follows `policy`."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dap_pipelines.channel import BLOCK, HEAD_BYTES, Channel
from dap_pipelines.engine import API, Engine, EngineError
from dap_pipelines.policy import Policy, RefusedError
from dap_pipelines.serve import Server

BODY_BYTES = 4 * 1024 * 1024
END_BYTES = 512
# The engine would also read the fields of a form from a body, where the policy does not look.
CONTENT_TYPES = {"application/json", "application/x-tar"}
PASSED = {"host", "content-length", "transfer-encoding", "x-registry-auth"}


class Gateway:
    """Serves one job, at one engine; each connection carries one request.

    `lost` says why the engine's host is gone, `broken` why a container's end is not known.
    The engine gets a head that is written anew from what the policy saw, and no byte beyond the
    request: it keeps connections open, so whatever follows would be a call that nobody checked.
    """

    def __init__(self, policy: Policy, engine: Engine) -> None:
        self.policy = policy
        self.engine = engine
        self.lost = ""
        self.broken = ""
        self._server = Server(self._serve, HEAD_BYTES)

    async def start(self, path: Path) -> None:
        """Listen on a Unix socket."""
        await self._server.start(path)

    def close(self) -> None:
        """Take no further calls."""
        self._server.close()

    def lose(self, reason: str) -> None:
        """End what goes on, and refuse what comes: the host is gone."""
        self.lost = reason
        self._server.tasks.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.lost:
                raise ConnectionResetError(self.lost)
            await self._one(reader, writer)
        except RefusedError as refused:
            _answer(writer, 403, {"message": f"not allowed in a pipeline: {refused}"})
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            where = f" of {self.engine.name}" if self.engine.remote else ""
            _answer(writer, 502, {"message": f"the Docker engine{where} can't be asked: {error}"})

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        method, target, version = request.split(" ")
        if not version.startswith("HTTP/1."):
            raise RefusedError(f"{version} instead of HTTP/1.1")
        url = urlsplit(target)
        path = unquote(re.sub(r"^/v1\.[0-9]+(?=/)", "", url.path))
        if ".." in path.split("/"):
            raise RefusedError("a path with ..")
        pairs = parse_qsl(url.query, keep_blank_values=True)
        query = dict(pairs)
        if len(query) != len(pairs):
            raise RefusedError("a parameter that is given twice")
        kind = self.policy.check(method, path, query)
        if kind != "plain":
            asked = json.loads(await _body(reader, headers))
            status, answer = await self._create(kind, asked)
            _answer(writer, status, answer)
            return
        upgrade = "upgrade" in headers and method == "POST" and path.endswith("/attach")
        kept = {key: value for key, value in headers.items() if key in PASSED}
        if headers.get("content-type") in CONTENT_TYPES:
            kept["content-type"] = headers["content-type"]
        kept |= {"connection": "Upgrade", "upgrade": "tcp"} if upgrade else {"connection": "close"}
        text = "".join(f"{key}: {value}\r\n" for key, value in kept.items())
        asked_for = f"/{API}{quote(path)}?{urlencode(query)}"
        upstream = await self.engine.open()
        try:
            head = f"{method} {asked_for} HTTP/1.1\r\n{text}\r\n"
            await upstream.write(head.encode("latin-1"))
            if upgrade and not await _upgraded(upstream, writer):
                return
            upward = asyncio.create_task(_upward(reader, upstream))
            try:
                end = await _downward(upstream, writer)
            finally:
                upward.cancel()
                await asyncio.wait([upward])
        finally:
            upstream.close()
        if path.endswith("/wait") and b"StatusCode" not in end and b"message" not in end:
            self.broken = f"the connection to host {self.engine.name} broke"
        # Closed with input unread, the connection would be reset under a client that still reads.
        while await reader.read(BLOCK):
            pass

    async def _create(self, kind: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        policy, engine = self.policy, self.engine
        try:
            if kind == "container":
                answer = await engine.call("POST", "/containers/create", policy.container(asked))
                policy.containers.add(answer["Id"])
                if policy.has_network(asked_network(asked)):
                    # Beside its services' network, a job has the one that all jobs have.
                    await engine.call(
                        "POST", f"/networks/{policy.network}/connect", {"Container": answer["Id"]}
                    )
            elif kind == "volume":
                answer = await engine.call("POST", "/volumes/create", policy.volume(asked))
                # The engine answers with the volume of that name where there is one already.
                if (answer.get("Labels") or {}) != policy.labels:
                    raise RefusedError(f"volume {answer['Name']} is not this pipeline's")
                policy.volumes.add(answer["Name"])
            else:
                body = policy.new_network(asked)
                answer = await engine.call("POST", "/networks/create", body)
                policy.networks[answer["Id"]] = body["Name"]
        except EngineError as error:
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


def _head(data: bytes) -> tuple[str, dict[str, str]]:
    """Return the request line and the headers of a head, their names in lower case.

    Raises:
        RefusedError: it could be read in two ways.
    """
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", key) or key.lower() in headers:
            raise RefusedError(f"the header {key!r}")
        headers[key.lower()] = value.strip()
    if not all(text.isprintable() for text in (first, *headers.values())):
        raise RefusedError("control characters in the head of a request")
    if {"content-length", "transfer-encoding"} <= set(headers):
        raise RefusedError("two lengths of a body")
    return first, headers


async def _upgraded(upstream: Channel, writer: asyncio.StreamWriter) -> bool:
    """Pass on the engine's answer to an upgrade: whether the connection is a container's now."""
    head = await upstream.until(b"\r\n\r\n")
    writer.write(head)
    if head.split(b" ", 2)[1] == b"101":
        return True
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    writer.write(await upstream.exactly(int(length[1]) if length else 0))
    await writer.drain()
    return False


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


async def _upward(reader: asyncio.StreamReader, upstream: Channel) -> None:
    while block := await reader.read(BLOCK):
        await upstream.write(block)
    await upstream.end()


async def _downward(upstream: Channel, writer: asyncio.StreamWriter) -> bytes:
    """Pass on all that the engine answers; return the end of it."""
    end = b""
    while block := await upstream.read():
        end = (end + block[-END_BYTES:])[-END_BYTES:]
        writer.write(block)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    return end


def _answer(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    if writer.is_closing():
        return
    text = json.dumps(body).encode()
    writer.write(
        f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        "Connection: close\r\n\r\n".encode()
        + text
    )
