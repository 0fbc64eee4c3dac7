"""One HTTP/2 connection to a backend, on asyncio."""

import asyncio
import socket
from typing import Self, cast

from troupe.core.addresses import HostPort
from troupe.gateway.batching import BatchingWriter
from troupe.gateway.wire import http2
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_client import ClientConnection, ClientLimits, Receiver, Stream


class BackendConnection(asyncio.Protocol):
    """Feeds a `ClientConnection` from a socket."""

    def __init__(self, *, address: str, limits: ClientLimits) -> None:
        self.address = address
        self.authority = address.encode()
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._writer: BatchingWriter
        self._http2: ClientConnection | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._retired: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(cls, address: str, limits: ClientLimits) -> Self:
        """Connects, and waits until the server has said its settings.

        Raises:
            OSError: nothing answers, or what answers is no HTTP/2 server.
        """
        where = HostPort.parse(address)
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(
            lambda: cls(address=address, limits=limits), where.bare_host, where.port
        )
        try:
            await connection.ready()
        except BaseException:
            transport.abort()
            raise
        return connection

    @property
    def has_room(self) -> bool:
        """Whether a stream can be opened now."""
        return self._http2 is not None and self._http2.has_room

    @property
    def open_streams(self) -> int:
        """Streams that have not ended."""
        return 0 if self._http2 is None else self._http2.open_streams

    def open_stream(self, block: bytes, receiver: Receiver) -> Stream:
        """Opens a stream; only while there is room."""
        assert self._http2 is not None
        return self._http2.open(block, receiver)

    async def ready(self) -> None:
        """Returns when the server has said its settings.

        Raises:
            ConnectionError: the connection was lost before.
        """
        await self._ready

    async def retired(self) -> None:
        """Returns when the connection takes no new streams any more."""
        await asyncio.shield(self._retired)

    @property
    def alive(self) -> bool:
        """Whether the last PING was answered."""
        return self._http2 is not None and self._http2.ping_answered

    def ping(self) -> None:
        """Asks the server whether it is there."""
        assert self._http2 is not None
        self._http2.ping()

    def abort(self, message: str) -> None:
        """Closes at once; open streams break off."""
        self._lose(message)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Says goodbye and closes; open streams break off."""
        if self._transport is not None and not self._transport.is_closing():
            self._writer.write(http2.goaway(0, http2.NO_ERROR))
            self._writer.flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writer = BatchingWriter(self._transport)
        self._http2 = ClientConnection(write=self._writer.write, limits=self._limits)
        self._http2.start()

    def data_received(self, data: bytes) -> None:
        assert self._http2 is not None
        try:
            self._http2.receive(data)
        except Http2Error as error:
            assert self._transport is not None
            self._writer.write(http2.goaway(0, error.code, str(error)))
            self._writer.flush()
            self._lose(f"the backend broke HTTP/2: {error}")
            self._transport.close()
            return
        if not self._ready.done():
            self._ready.set_result(None)
        if self._http2.retired:
            self._retire()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"the connection to the backend was lost{f': {exc}' if exc else ''}")

    def _lose(self, message: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(message))
        self._retire()
        if self._http2 is not None:
            self._http2.lost(message)

    def _retire(self) -> None:
        if not self._retired.done():
            self._retired.set_result(None)
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """Closes a connection that takes no new streams when it has none."""
        if self._http2 is not None and self._transport is not None and not self._http2.open_streams:
            self._writer.flush()
            self._transport.close()
