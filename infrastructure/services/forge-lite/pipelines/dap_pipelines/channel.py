"""Connections to Docker engines: over a Unix socket, or over TLS with a certificate of our own.

An attached container reads its input to the end while its output goes on, so one direction must end
before the other. asyncio's own TLS can't do that; here the record layer is driven by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

BLOCK = 65536
HEAD_BYTES = 65536
CONNECT_SECONDS = 10


class Channel:
    """A connection that carries bytes both ways; each way ends by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._kept = b""

    async def read(self, most: int = BLOCK) -> bytes:
        """Return what comes next, nothing at the end."""
        if self._kept:
            data, self._kept = self._kept[:most], self._kept[most:]
            return data
        return await self._receive(most)

    async def until(self, end: bytes) -> bytes:
        """Return all up to and with `end`.

        Raises:
            EOFError: the connection ended before. ValueError: it does not come.
        """
        data = b""
        while end not in data:
            if len(data) > HEAD_BYTES:
                raise ValueError("the head of an answer is too long")
            data += await self._more()
        place = data.index(end) + len(end)
        self._kept = data[place:] + self._kept
        return data[:place]

    async def exactly(self, length: int) -> bytes:
        """Return so many bytes.

        Raises:
            EOFError: the connection ended before.
        """
        data = b""
        while len(data) < length:
            data += await self._more()
        self._kept = data[length:] + self._kept
        return data[:length]

    async def _more(self) -> bytes:
        data = await self.read()
        if not data:
            raise EOFError("the connection ended")
        return data

    async def _receive(self, most: int) -> bytes:
        return await self._reader.read(most)

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """Send nothing more; what comes from the other side still does."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        """End both directions."""
        self._writer.close()


class TlsChannel(Channel):
    """A channel within TLS, as a client that wants the server to be `name`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        name: str,
    ) -> None:
        super().__init__(reader, writer)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._ended = False

    async def shake_hands(self) -> None:
        """Make the connection a secure one.

        Raises:
            OSError: the other side is not who it should be, or does not want us.
        """
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send()
                data = await self._reader.read(BLOCK)
                if not data:
                    raise ConnectionResetError("it closed the connection") from None
                self._incoming.write(data)
        await self._send()

    async def _send(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
            await self._writer.drain()

    def _decrypted(self, most: int) -> bytes | None:
        """Return what has come, nothing at the end, None where more must come first."""
        try:
            return self._tls.read(most)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""

    async def _receive(self, most: int) -> bytes:
        while True:
            data = self._decrypted(most)
            if data is not None:
                return data
            await self._send()
            coming = await self._reader.read(BLOCK)
            # Where an engine ends a stream, its proxy ends the connection without a word of TLS.
            # What came says by itself if it is whole, by its length or by a container's status.
            if not coming:
                return b""
            self._incoming.write(coming)

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._tls.write(data)
        await self._send()

    async def end(self) -> None:
        """Send nothing more; what comes from the other side still does."""
        if self._ended:
            return
        self._ended = True
        # While the end is told no data may wait: OpenSSL would take it for a fault.
        while data := self._decrypted(BLOCK):
            self._kept += data
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._send()


async def connect(path: str) -> Channel:
    """Return a connection to a Unix socket.

    Raises:
        OSError: nobody listens there.
    """
    reader, writer = await asyncio.open_unix_connection(path, limit=HEAD_BYTES)
    return Channel(reader, writer)


async def connect_tls(address: str, port: int, context: ssl.SSLContext, name: str) -> Channel:
    """Return a connection to the host `name` at an address.

    Raises:
        OSError: it does not answer in time, or is another.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(address, port, limit=HEAD_BYTES)
        channel = TlsChannel(reader, writer, context, name)
        try:
            await channel.shake_hands()
        except BaseException:
            channel.close()
            raise
        return channel
