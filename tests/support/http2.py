"""A connection of our server with h2, or with what a test writes itself, on its other end."""

from collections.abc import Callable, Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    StreamReset,
)

from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2_server import Http2Counters, Http2Limits, ServerConnection, ServerStream
from troupe.gateway.wire.request import RequestHead

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "host.example")]
RAW_REQUEST = [(name.encode(), value.encode()) for name, value in REQUEST]
BLOCK = hpack_blocks.encode(RAW_REQUEST)
OK = ((b"content-type", b"text/plain"), (b"connection", b"close"))


class Exchange:
    """An upload that keeps what it hears."""

    def __init__(self, head: RequestHead, stream: ServerStream) -> None:
        self.head = head
        self.stream = stream
        self.received = b""
        self.heard: list[str] = []

    def body(self, data: bytes) -> None:
        self.received += data

    def body_ended(self) -> None:
        self.heard.append("ended")

    def writable(self) -> None:
        self.heard.append("writable")

    def gone(self) -> None:
        self.heard.append("gone")


class Server:
    """A connection whose requests are kept, or answered by `answer`."""

    def __init__(self, answer: Callable[[ServerStream], None] | None = None, limits: Http2Limits | None = None) -> None:
        self.out: list[bytes] = []
        self.room: int | None = None
        """What the socket takes at once."""
        self.exchanges: list[Exchange] = []
        self.counters = Http2Counters()
        self.answer = answer
        self.core = ServerConnection(
            write=self.out.append,
            flush=self.flush,
            accept=self.accept,
            limits=limits or Http2Limits(),
            counters=self.counters,
            now=0,
        )
        self.core.start()

    def flush(self) -> None:
        if self.room is not None and sum(map(len, self.out)) > self.room:
            self.core.hold()

    def accept(self, head: RequestHead, stream: ServerStream) -> Exchange:
        self.exchanges.append(Exchange(head, stream))
        if self.answer is not None:
            self.answer(stream)
        return self.exchanges[-1]

    def said(self) -> bytes:
        data = b"".join(self.out)
        self.out.clear()
        return data


class Pair(Server):
    """A connection with h2 on its other end."""

    def __init__(self, answer: Callable[[ServerStream], None] | None = None, limits: Http2Limits | None = None) -> None:
        super().__init__(answer, limits)
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.events: list[Event] = []

    def turn(self) -> list[Event]:
        """Carries bytes to and fro until both are silent; gives what the client heard."""
        events: list[Event] = []
        while True:
            if data := self.client.data_to_send():
                self.core.receive(data)
            elif said := self.said():
                events += self.client.receive_data(said)
            else:
                return events

    def request(self, headers: Iterable[tuple[str, str]] = REQUEST, *, end: bool = True) -> int:
        stream_id: int = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, headers, end_stream=end)
        return stream_id


def raw(limits: Http2Limits | None = None) -> Server:
    """A server whose client has greeted it and knows its settings."""
    server = Server(limits=limits)
    server.core.receive(http2.PREFACE + http2.settings({}) + http2.frame(http2.SETTINGS, http2.ACK, 0))
    return server


def request(stream_id: int, block: bytes = BLOCK, *, end: bool = True) -> bytes:
    return http2.headers_frames(stream_id, block, end=end, max_frame_bytes=16_384)


def codes(events: list[Event]) -> list[tuple[int | None, int]]:
    return [(event.stream_id, int(event.error_code or 0)) for event in events if isinstance(event, StreamReset)]


def body_of(events: list[Event], stream_id: int) -> bytes:
    return b"".join(e.data or b"" for e in events if isinstance(e, DataReceived) and e.stream_id == stream_id)
