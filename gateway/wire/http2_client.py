"""A client's side of an HTTP/2 connection: bytes in, calls on receivers and bytes out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from troupe.gateway.wire import hpack_blocks, hpack_fields, http2, http2_connection
from troupe.gateway.wire.hpack_blocks import HeaderBlockError, Headers
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_connection import Connection

_TOO_MANY_HEADERS: Final = (
    f"the backend answered with headers or trailers of more than {hpack_blocks.MAX_HEADER_LIST_BYTES} bytes, "
    "which are not taken"
)
# More than sockets and buffers take of a client that does not read.
_QUICK_WINDOWS: Final = 6


class Receiver(Protocol):
    """What takes the answer of a stream. After `ended` or `reset` nothing more is called."""

    def headers(self, headers: Headers, *, end: bool) -> None:
        """A block of headers, or of trailers when `end`."""
        ...

    def data(self, data: bytes) -> None:
        """The payloads of all DATA frames that arrived in a run."""
        ...

    def ended(self) -> None:
        """The server ended the stream with a DATA frame."""
        ...

    def reset(self, code: int, message: str) -> None:
        """The stream broke off with an HTTP/2 error code."""
        ...

    def writable(self) -> None:
        """Everything that waited for the server's window is sent."""
        ...


class WideWindows:
    """Wide windows for those who read quickly, so many of all connections together."""

    WIDER_BYTES: Final = 192 << 10

    def __init__(self, *, most: int) -> None:
        self._left = most

    def take(self) -> bool:
        """Whether there was one."""
        if not self._left:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """A stream has ended."""
        self._left += 1


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What this side takes."""

    stream_window_bytes: int = 256 << 10
    max_frame_bytes: int = 1 << 20
    wide_windows: WideWindows = field(default_factory=lambda: WideWindows(most=128))


class Stream(http2_connection.Stream):
    """A call on a connection. When `send` leaves a rest, the caller waits for `Receiver.writable`."""

    __slots__ = ("is_wide", "receiver", "taken_bytes")

    def __init__(self, connection: "ClientConnection", stream_id: int, receiver: Receiver) -> None:
        super().__init__(connection, stream_id)
        self.receiver = receiver
        self.taken_bytes = 0
        self.is_wide = False


class ClientConnection(Connection[Stream]):
    """The state of a connection."""

    def __init__(self, *, write: Callable[[bytes], None], limits: ClientLimits) -> None:
        super().__init__(
            write=write,
            flush=None,
            stream_window_bytes=limits.stream_window_bytes,
            max_frame_bytes=limits.max_frame_bytes,
        )
        self._wide_windows = limits.wide_windows
        self._next_stream_id = 1
        self._max_streams = http2.MAX_STREAM_ID

    @property
    def has_room(self) -> bool:
        """Whether a stream can be opened now."""
        return self.ready and not self.retired and len(self._streams) < self._max_streams

    def start(self) -> None:
        """Sends the preface and the settings."""
        own = {
            http2.HEADER_TABLE_SIZE: 0,
            http2.ENABLE_PUSH: 0,
            http2.INITIAL_WINDOW_SIZE: self.stream_window_bytes,
            http2.MAX_FRAME_SIZE: self._max_frame_bytes,
            http2.MAX_HEADER_LIST_SIZE: hpack_blocks.MAX_HEADER_LIST_BYTES,
        }
        self._greet(own, http2.PREFACE)

    def open(self, block: bytes, receiver: Receiver) -> Stream:
        """Opens a stream; only while there is room."""
        stream = Stream(self, self._next_stream_id, receiver)
        self._next_stream_id += 2
        self.retired = self.retired or self._next_stream_id > http2.MAX_STREAM_ID
        self._streams[stream.id] = stream
        self.write(http2.headers_frames(stream.id, block, end=False, max_frame_bytes=self.max_send_frame))
        return stream

    def lost(self, message: str) -> None:
        """The connection is gone: every stream breaks off."""
        self.retired = True
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.receiver.reset(http2.REFUSED_STREAM, message)

    def _deliver(self, stream_id: int, run: list[bytes], count: int) -> None:
        if not run:
            return
        self._count(count)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return
        stream.receive_window -= count
        if stream.receive_window < 0:
            self._break(stream, http2.FLOW_CONTROL_ERROR, "more came than the window of the stream")
            return
        stream.receiver.data(run[0] if len(run) == 1 else b"".join(run))
        stream.owe(count)
        stream.taken_bytes += count
        if not stream.is_wide and stream.taken_bytes > _QUICK_WINDOWS * self.stream_window_bytes:
            self._widen_window(stream)

    def _widen_window(self, stream: Stream) -> None:
        """For a stream whose client has read some windows and does not lag behind now."""
        if not stream.paused and stream.id in self._streams and self._wide_windows.take():
            stream.is_wide = True
            stream.widen(WideWindows.WIDER_BYTES)

    def _forget(self, stream: Stream) -> bool:
        if stream.is_wide:
            stream.is_wide = False
            stream.taken_bytes = 0
            self._wide_windows.give_back()
        return super()._forget(stream)

    def _check_known(self, stream_id: int) -> None:
        if stream_id % 2 == 0 or stream_id >= self._next_stream_id:  # RFC 9113, 5.1 and 5.1.1
            raise Http2Error(http2.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which was never opened")

    @property
    def _blocks_stand_alone(self) -> bool:
        return True  # servers know that there is no table before they see the first request

    def _on_block(self, stream_id: int, flags: int, block: bytes | None) -> None:
        try:
            headers = None if block is None else hpack_fields.decode(block)
        except HeaderBlockError as error:  # RFC 9113, 4.3
            raise Http2Error(http2.COMPRESSION_ERROR, str(error)) from None
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return
        end = bool(flags & http2.END_STREAM)
        if end and not self._close(stream):
            return
        if headers is not None:
            stream.receiver.headers(headers, end=end)
        else:
            self.reset(stream, http2.ENHANCE_YOUR_CALM)
            stream.receiver.reset(http2.ENHANCE_YOUR_CALM, _TOO_MANY_HEADERS)

    def _on_end(self, stream: Stream) -> None:
        if self._close(stream):
            stream.receiver.ended()

    def _close(self, stream: Stream) -> bool:
        """The server is done. Where this side is not, it says so, since nothing of it is wanted any more."""
        unsent = stream.pending_bytes or not stream.closed_here
        if not self._forget(stream):
            return False
        if unsent:
            self.write(http2.rst_stream(stream.id, http2.NO_ERROR))
        return True

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        code = http2.parse_uint32(payload)
        stream = self._streams.get(stream_id)
        if stream is not None and self._forget(stream):
            stream.receiver.reset(code, f"the backend broke the stream off (HTTP/2 error {code})")

    def _on_setting(self, key: int, value: int) -> None:
        if key == http2.MAX_CONCURRENT_STREAMS:
            # Streams that were just broken off still count at the server, which refuses what is too much.
            self._max_streams = value - value // 8
        else:
            super()._on_setting(key, value)

    def _on_goaway(self, _flags: int, _stream_id: int, payload: bytes) -> None:
        self.retired = True
        last_stream_id = http2.parse_uint32(payload) & http2.MAX_STREAM_ID
        for stream in [stream for stream in self._streams.values() if stream.id > last_stream_id]:
            self._forget(stream)
            stream.receiver.reset(http2.REFUSED_STREAM, "the backend goes away; call again")

    def _caught_up(self, stream: Stream) -> None:
        stream.receiver.writable()

    def _break(self, stream: Stream, code: int, problem: str) -> None:
        self.reset(stream, code)
        stream.receiver.reset(code, f"the backend broke the rules of HTTP/2 in this call: {problem} (error {code})")
