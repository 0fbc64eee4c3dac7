"""Connections of clients: calls one after the other, over HTTP/1.1 or HTTP/2."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

from google.protobuf.message import Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from tests.support.gateway import BINARY, SERVICE, WebConnection, framed

_READ_BYTES: Final = 16 << 10
_STATUS: Final = re.compile(rb"grpc-status: (\d+)\r\n")


class Session(Protocol):
    """A connection. Calls do not overlap."""

    status: int | None
    """How the last call ended; None while it goes on."""

    def call(self, method: str, request: Message) -> AsyncIterator[bytes]:
        """Calls; gives the body as it comes. Nothing is read while nobody asks for more.

        Raises:
            OSError, EOFError: the connection is gone.
        """
        ...

    def abort(self) -> None:
        """Resets the connection, whatever is under way."""
        ...


Connect = Callable[[str], AbstractAsyncContextManager[Session]]


class Http1Session:
    """Over HTTP/1.1."""

    def __init__(self, connection: WebConnection) -> None:
        self.status: int | None = None
        self._connection = connection

    async def call(self, method: str, request: Message) -> AsyncIterator[bytes]:
        """See `Session`."""
        self.status = None
        self._connection.call(method, request)
        head = await self._connection.head()
        if "grpc-status" in head.headers:
            self.status = int(head.headers["grpc-status"])
        if "transfer-encoding" not in head.headers:
            return
        tail = b""
        while data := await self._connection.chunk():
            tail = (tail + data)[-512:]
            yield data
        self.status = _status_in(tail)

    def abort(self) -> None:
        """See `Session`."""
        self._connection.writer.transport.abort()


@asynccontextmanager
async def http1(address: str) -> AsyncIterator[Session]:
    """A connection over HTTP/1.1."""
    async with WebConnection.open(address) as connection:
        yield Http1Session(connection)


class Http2Session:
    """Over HTTP/2 by prior knowledge; in turns a stream of its own each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self.status: int | None = None
        self._reader = reader
        self._writer = writer
        self._authority = authority
        self._h2 = H2Connection(H2Configuration(header_encoding=None))
        self._h2.initiate_connection()

    async def call(self, method: str, request: Message) -> AsyncIterator[bytes]:
        """See `Session`."""
        self.status = None
        stream_id = self._h2.get_next_available_stream_id()
        pseudo = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", SERVICE + method),
            (":authority", self._authority),
        ]
        self._h2.send_headers(stream_id, [*pseudo, ("content-type", BINARY)])
        self._h2.send_data(stream_id, framed(request), end_stream=True)
        tail = b""
        while True:
            self._writer.write(self._h2.data_to_send())
            received = await self._reader.read(_READ_BYTES)
            if not received:
                raise EOFError("the gateway closed")
            try:
                events = self._h2.receive_data(received)
            except ProtocolError as error:
                raise ConnectionError(f"the gateway broke HTTP/2: {error!r}") from None
            for event in events:
                if isinstance(event, ConnectionTerminated):
                    raise EOFError(f"the gateway said goodbye ({event.error_code})")
                if getattr(event, "stream_id", None) != stream_id:
                    continue
                if isinstance(event, ResponseReceived):
                    self.status = next((int(value) for name, value in event.headers if name == b"grpc-status"), None)
                elif isinstance(event, DataReceived):
                    tail = (tail + event.data)[-512:]
                    self._h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
                    yield event.data
                elif isinstance(event, StreamEnded | StreamReset):
                    self.status = self.status if self.status is not None else _status_in(tail)
                    return

    def abort(self) -> None:
        """See `Session`."""
        self._writer.transport.abort()


@asynccontextmanager
async def http2(address: str) -> AsyncIterator[Session]:
    """A connection over HTTP/2."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
    try:
        yield Http2Session(reader, writer, address)
    finally:
        writer.close()


def _status_in(tail: bytes) -> int | None:
    """The status in the trailers; a body that lacks them has none."""
    found = _STATUS.findall(tail)
    return int(found[-1]) if found else None


def garbage(number: int) -> bytes:
    """Bytes that are no call, each number others."""
    kinds = (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 20_000,
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", 0xFFFFFF04, 0xFF, number) * 3,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", 5 << 8 | 1, 0x05, 1) + b"\xff\xff\xff\xff\xff",
        b"GET /%d HTTP/1.1\r\nhost: localhost\r\nx-%d: b\r\n\r\n" % (number, number),
        b"",
    )
    return kinds[number % len(kinds)]
