"""The gateway to the Docker engine that one pipeline has: a socket that follows `policy`."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dap_pipelines import engine
from dap_pipelines.policy import Policy, RefusedError
from dap_pipelines.values import ENGINE_SOCKET

HEAD_BYTES = 65536
BODY_BYTES = 4 * 1024 * 1024
BLOCK = 65536
# The engine would also read the fields of a form from a body, where the policy does not look.
CONTENT_TYPES = {"application/json", "application/x-tar"}
PASSED = {"host", "content-length", "transfer-encoding", "x-registry-auth"}


class Gateway:
    """Serves one pipeline; each connection carries one request.

    The engine gets a head that is written anew from what the policy saw, and no byte beyond the
    request: it keeps connections open, so whatever follows would be a call that nobody checked.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._server: asyncio.AbstractServer | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._accept, path, limit=HEAD_BYTES)

    def close(self) -> None:
        """Take no further calls."""
        if self._server is not None:
            self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The event loop forgets a connection whose client has closed its side: without a reference
        # here the garbage collector may end it before the answer is through.
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

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
            status, answer = await asyncio.to_thread(self._create, kind, asked)
            _answer(writer, status, answer)
            return
        upgrade = "upgrade" in headers and method == "POST" and path.endswith("/attach")
        kept = {key: value for key, value in headers.items() if key in PASSED}
        if headers.get("content-type") in CONTENT_TYPES:
            kept["content-type"] = headers["content-type"]
        kept |= {"connection": "Upgrade", "upgrade": "tcp"} if upgrade else {"connection": "close"}
        text = "".join(f"{key}: {value}\r\n" for key, value in kept.items())
        asked_for = f"/{engine.API}{quote(path)}?{urlencode(query)}"
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(
            ENGINE_SOCKET, limit=HEAD_BYTES
        )
        try:
            upstream_writer.write(f"{method} {asked_for} HTTP/1.1\r\n{text}\r\n".encode("latin-1"))
            if upgrade and not await _upgraded(upstream_reader, writer):
                return
            upward = asyncio.create_task(_copy(reader, upstream_writer))
            try:
                await _copy(upstream_reader, writer)
            finally:
                upward.cancel()
                await asyncio.wait([upward])
        finally:
            upstream_writer.close()
        # Closed with input unread, the connection would be reset under a client that still reads.
        while await reader.read(BLOCK):
            pass

    def _create(self, kind: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        policy = self.policy
        try:
            if kind == "container":
                answer = engine.call("POST", "/containers/create", policy.container(asked))
                policy.containers.add(answer["Id"])
                if policy.has_network(asked_network(asked)):
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
                policy.networks[answer["Id"]] = body["Name"]
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


async def _upgraded(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Pass on the engine's answer to an upgrade: whether the connection is a container's now."""
    head = await upstream.readuntil(b"\r\n\r\n")
    writer.write(head)
    if head.split(b" ", 2)[1] == b"101":
        return True
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    writer.write(await upstream.readexactly(int(length[1]) if length else 0))
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
