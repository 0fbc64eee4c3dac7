"""An HTTP/2 client for tests, on h2, that sees every event and reads only when it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

from google.protobuf.message import Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from tests.support.gateway import BINARY, SERVICE, WebResponse, framed


class Http2Client:
    """A connection. Windows are given back only by `grant`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.events: list[Event] = []
        self._authority = authority

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        client = cls(reader, writer, address)
        client.h2.initiate_connection()
        client.flush()
        try:
            yield client
        finally:
            writer.close()

    def flush(self) -> None:
        """Sends what h2 has to say."""
        self.writer.write(self.h2.data_to_send())

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, end: bool = True) -> int:
        """Sends a request; gives its stream."""
        stream_id: int = self.h2.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "http", ":path": path, ":authority": self._authority}
        self.h2.send_headers(stream_id, [*pseudo.items(), *headers.items()], end_stream=end and not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=end)
        self.flush()
        return stream_id

    def call(self, method: str, request: Message, **headers: str) -> int:
        """Sends a call."""
        return self.send("POST", SERVICE + method, {"content-type": BINARY, **headers}, framed(request))

    def grant(self, count: int, *streams: int) -> None:
        """Opens the window of the connection, and of streams."""
        self.h2.increment_flow_control_window(count)
        for stream_id in streams:
            self.h2.increment_flow_control_window(count, stream_id)
        self.flush()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Reads until the condition holds; fails when the gateway closes before."""
        async with asyncio.timeout(10):
            while not condition():
                data = await self.reader.read(1 << 16)
                assert data, f"closed after {self.events[-3:]}"
                self.events += self.h2.receive_data(data)
                self.flush()

    async def closed(self) -> None:
        """Reads until the gateway closes."""
        async with asyncio.timeout(10):
            while data := await self.reader.read(1 << 16):
                self.events += self.h2.receive_data(data)

    def body(self, stream_id: int) -> bytes:
        """What came of a response's body."""
        return b"".join(e.data or b"" for e in self.events if isinstance(e, DataReceived) and e.stream_id == stream_id)

    def ended(self, stream_id: int) -> bool:
        """Whether a response is whole."""
        return any(isinstance(e, StreamEnded) and e.stream_id == stream_id for e in self.events)

    def answered(self, stream_id: int) -> bool:
        """Whether the head of a response is there."""
        return any(isinstance(e, ResponseReceived) and e.stream_id == stream_id for e in self.events)

    async def answer(self, stream_id: int) -> WebResponse:
        """Waits for the whole response of a call."""
        return (await self.response(stream_id)).parse()

    async def response(self, stream_id: int) -> WebResponse:
        """Waits for a whole response."""
        await self.until(lambda: self.ended(stream_id))
        heads = [e.headers for e in self.events if isinstance(e, ResponseReceived) and e.stream_id == stream_id]
        headers = {str(name): str(value) for name, value in heads[0] or ()}
        return WebResponse(int(headers.pop(":status")), headers, self.body(stream_id))

    @property
    def resets(self) -> dict[int, int]:
        """The streams that the gateway broke off."""
        return {e.stream_id or 0: int(e.error_code or 0) for e in self.events if isinstance(e, StreamReset)}

    @property
    def goodbye(self) -> tuple[int, int] | None:
        """The last stream and the code of the gateway's GOAWAY."""
        for event in self.events:
            if isinstance(event, ConnectionTerminated):
                return event.last_stream_id or 0, int(event.error_code or 0)
        return None
