"""HTTP/2 for clients, on asyncio."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final, cast

from troupe.gateway.batching import BatchingWriter
from troupe.gateway.downstream.exchange import Application
from troupe.gateway.downstream.open_connections import OpenConnections, Unread
from troupe.gateway.wire import http2
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_server import Http2Counters, Http2Limits, ServerConnection

_MOST_UNREAD_BYTES: Final = 1 << 20
# What a client may send behind its fault until it has read the goodbye.
_MOST_DISCARDED_BYTES: Final = 1 << 20


class Http2Connection(asyncio.Protocol):
    """A client's connection: feeds a `ServerConnection`, whose streams are the exchanges."""

    version: ClassVar[str] = "2"

    def __init__(
        self,
        *,
        application: Application,
        limits: Http2Limits,
        counters: Http2Counters,
        connections: OpenConnections,
    ) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._application = application
        self._limits = limits
        self._counters = counters
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._writer: BatchingWriter
        self._http2: ServerConnection
        self._closing_since: float | None = None
        self._discarded_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        self._writer = BatchingWriter(self._transport)
        self._http2 = ServerConnection(
            write=self._writer.write,
            flush=self._writer.flush,
            accept=self._application.handle,
            limits=self._limits,
            counters=self._counters,
            now=self._loop.time(),
        )
        self._connections.add(self)
        self._http2.start()

    def data_received(self, data: bytes) -> None:
        if self._closing_since is not None:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > _MOST_DISCARDED_BYTES:
                self._transport.abort()
            return
        try:
            self._http2.receive(data)
        except Http2Error as error:
            self._fail(error)
            return
        # Data waits in its streams while the socket is full, but heads and acknowledgements do not.
        if self._http2.full and self._transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """A client that closes its end has gone: browsers never close one direction only."""
        self._writer.flush()
        self._http2.lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._http2.lost()
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._http2.hold()

    def resume_writing(self) -> None:
        self._http2.release()
        if self._closing_since is None and not self._transport.is_reading():
            self._transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Ends the connection when the client is too slow or idle for too long."""
        if self._closing_since is not None:
            if now - self._closing_since > self._limits.write_timeout_seconds:
                self._transport.abort()  # what was written last is not read
            return
        try:
            self._http2.sweep(now)
        except Http2Error as error:
            self._fail(error)
            return
        idle = not self._http2.open_streams
        if idle and (self._http2.retired or self._http2.idle_seconds > self._limits.keep_alive_seconds):
            self.close()

    def unread(self) -> Iterable[Unread]:
        """What waits for the client, of each stream."""
        return [Unread(stream.pending_bytes, partial(self._http2.give_up, stream)) for stream in self._http2.waiting()]

    def close_when_idle(self) -> None:
        """Takes no more requests; the sweep closes when those that were taken have ended."""
        self._http2.retire()
        if not self._http2.open_streams:
            self.close()

    def close(self) -> None:
        """Says goodbye, and closes when what was written is sent."""
        if self._closing_since is None:
            self._http2.retire()
            self._close()
        else:
            self._transport.close()

    def _fail(self, error: Http2Error) -> None:
        if error.code != http2.ENHANCE_YOUR_CALM:
            self._counters.protocol_errors += 1
        self._http2.retired = True
        self._writer.write(http2.goaway(self._http2.last_stream_id, error.code, str(error)))
        stalled = self._http2.full
        if stalled or not self._transport.can_write_eof():
            self._close()
        else:
            self._close_one_direction()
        self._http2.lost()
        if stalled:
            self._transport.abort()

    def _close_one_direction(self) -> None:
        """Closes when the client does, or at the sweep. RFC 9113, section 5.4.1.

        What it still sends would be answered with a reset, by which the goodbye may be lost on the way.
        """
        self._closing_since = self._loop.time()
        self._writer.flush()
        self._transport.write_eof()
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def _close(self) -> None:
        self._closing_since = self._loop.time()
        self._writer.flush()
        self._transport.close()
