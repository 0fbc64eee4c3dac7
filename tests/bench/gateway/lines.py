"""The client: connections that send calls and read raw bytes, decoding no more than tells that a call has ended."""

import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tests.support.fast_backend import BODY_BYTES, MESSAGE, Call
from troupe.gateway.wire import hpack_blocks, http2

PATH: Final = b"/troupe.api.bench.v1.BenchService/Stream"
_WEB_HEADERS: Final = (
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/grpc-web+proto"),
    (b"content-type", b"application/grpc-web+proto"),
    (b"x-grpc-web", b"1"),
    (b"x-user-agent", b"grpc-web-javascript/0.1"),
    (b"content-length", b"%d" % BODY_BYTES),
)
_GRPC_HEADERS: Final = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
_HTTP1_END: Final = re.compile(rb"grpc-status: ?0\r\n\r\n0\r\n\r\n\Z")
_TAIL_BYTES: Final = 64
# Runs of DATA frames that are a message each and nothing else: skipped at once, lest the client be the limit.
_MESSAGE_FRAMES: Final = re.compile(
    rb"(?:%b.{%d})++" % (re.escape(len(MESSAGE).to_bytes(3, "big") + b"\x00\x00"), 4 + len(MESSAGE)), re.DOTALL
)
_CONNECT_TIMEOUT_SECONDS: Final = 20
# Shared by all connections, since one is read at a time. Large, so that a busy stream costs few system calls.
_BUFFER: Final = bytearray(1 << 20)
_VIEW: Final = memoryview(_BUFFER)


class Line(Protocol):
    """A connection of the client."""

    socket: socket.socket
    received_bytes: int

    def ask(self, call: Call, extra: bytes = b"") -> int:
        """Sends a call, with `extra` as the value of a header `traceparent` where it is not empty; its id."""
        ...

    def receive(self) -> Sequence[int]:
        """Reads what has come; the ids of the calls that have ended with it, all of them well.

        Raises:
            AssertionError: a call or the connection ended otherwise.
        """
        ...


@dataclass(frozen=True)
class Wire:
    """A protocol, and how many streams its clients have on a connection."""

    open: Callable[[int], Line]
    streams_per_connection: int

    def lines(self, port: int, streams: int) -> Sequence[Line]:
        """Connections for so many streams."""
        return [self.open(port) for _ in range(-(-streams // self.streams_per_connection))]


class Http1Line:
    """gRPC-Web over HTTP/1.1: one call at a time."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.received_bytes = 0
        self._head = b"POST %b HTTP/1.1\r\nhost: localhost\r\n" % PATH
        self._head += b"".join([b"%b: %b\r\n" % pair for pair in _WEB_HEADERS])
        self._tail = b""
        self._calls = 0

    def ask(self, call: Call, extra: bytes = b"") -> int:
        """See `Line`."""
        self._calls += 1
        self.socket.sendall(self._head + (b"traceparent: %b\r\n" % extra if extra else b"") + b"\r\n" + call.body)
        return self._calls

    def receive(self) -> Sequence[int]:
        """See `Line`."""
        count = self.socket.recv_into(_BUFFER)
        assert count, "the connection was closed"
        self.received_bytes += count
        self._tail = (self._tail + _BUFFER[max(0, count - _TAIL_BYTES) : count])[-_TAIL_BYTES:]
        if not self._tail.endswith(b"\r\n0\r\n\r\n"):
            return ()
        assert _HTTP1_END.search(self._tail), f"a call ended with {self._tail!r}"
        self._tail = b""
        return (self._calls,)


class Http2Line:
    """gRPC-Web, or gRPC itself, over HTTP/2 without TLS: many calls at a time."""

    def __init__(self, port: int, *, web: bool) -> None:
        self.socket = connect(port)
        self.received_bytes = 0
        pairs = [(b":path", PATH), (b":authority", b"localhost"), *(_WEB_HEADERS if web else _GRPC_HEADERS)]
        self._block = hpack_blocks.METHOD_POST + hpack_blocks.SCHEME_HTTP + hpack_blocks.encode(pairs)
        self._next_id = 1
        self._rest = b""
        self._granted_at = 0
        hello = http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: http2.MAX_WINDOW_BYTES})
        hello += http2.window_update(0, http2.MAX_WINDOW_BYTES - http2.DEFAULT_WINDOW_BYTES)
        self.socket.sendall(hello + http2.frame(http2.SETTINGS, http2.ACK, 0))

    def ask(self, call: Call, extra: bytes = b"") -> int:
        """See `Line`."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        block = self._block + (hpack_blocks.encode([(b"traceparent", extra)]) if extra else b"")
        head = http2.headers_frames(stream_id, block, end=False, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
        body = http2.data_frames(stream_id, call.body, end=True, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
        self.socket.sendall(head + body)
        return stream_id

    def receive(self) -> Sequence[int]:
        """See `Line`."""
        rest = len(self._rest)
        _BUFFER[:rest] = self._rest
        count = self.socket.recv_into(_VIEW[rest:])
        assert count, "the connection was closed"
        self._account(count)
        position, end, ended = 0, rest + count, []
        unpack = http2.FRAME_HEADER.unpack_from
        while end - position >= http2.FRAME_HEADER_BYTES:
            length, flags, stream_id = unpack(_BUFFER, position)
            following = position + http2.FRAME_HEADER_BYTES + (length >> 8)
            if following > end:
                break
            position = following
            kind = length & 0xFF
            if kind <= http2.HEADERS:
                if flags & http2.END_STREAM:
                    ended.append(stream_id)
                elif run := _MESSAGE_FRAMES.match(_BUFFER, position, end):
                    position = run.end()
            else:
                assert kind not in {http2.RST_STREAM, http2.GOAWAY}, f"frame {kind} for stream {stream_id}"
        self._rest = bytes(_VIEW[position:end])
        return ended

    def _account(self, count: int) -> None:
        self.received_bytes += count
        if self.received_bytes - self._granted_at > 1 << 28:
            self.socket.sendall(http2.window_update(0, self.received_bytes - self._granted_at))
            self._granted_at = self.received_bytes


def connect(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    deadline = time.monotonic() + _CONNECT_TIMEOUT_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
