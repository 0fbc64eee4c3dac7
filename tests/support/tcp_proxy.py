"""A TCP link that can be cut, stalled, slowed and made to trickle, between a process and a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_READ_BYTES: Final = 64 << 10


class TcpProxy:
    """Forwards bytes both ways. What is set applies at once, to open connections too."""

    def __init__(self, *, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self.latency_seconds = 0.0
        """Added to each read, so that it bounds the rate as well."""
        self.trickle_bytes = 0
        """Passes this many bytes at a time, a millisecond apart; 0 passes all."""
        self._up = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Breaks every connection and refuses new ones until `heal`."""
        self._up = False
        self.break_connections()

    def break_connections(self) -> None:
        """Breaks every connection; new ones are taken."""
        for connection in self._connections:
            connection.cancel()

    def stall(self) -> None:
        """Passes nothing more until `heal`, with the connections open."""
        self._flowing.clear()

    def heal(self) -> None:
        """As it was at first."""
        self._up = True
        self.latency_seconds, self.trickle_bytes = 0.0, 0
        self._flowing.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TcpProxy"]:
        """Listens on a free port of loopback inside the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.break_connections()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            self._connections.discard(task)
            await _drop(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            return
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        ways = [asyncio.create_task(self._pump(reader, target_writer))]
        ways.append(asyncio.create_task(self._pump(target_reader, writer)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            target_writer.transport.abort()  # before any wait, which another cut may end
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _drop(target_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._flowing.wait()
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            await self._pass(data, writer)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        place = 0
        while place < len(data):
            size = self.trickle_bytes or len(data)
            writer.write(data[place : place + size])
            await writer.drain()
            place += size
            if place < len(data):
                await asyncio.sleep(0.001)


async def _drop(writer: asyncio.StreamWriter) -> None:
    """Resets the connection."""
    writer.transport.abort()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
