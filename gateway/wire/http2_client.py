"""A client's side of an HTTP/2 connection: bytes in, calls on receivers and bytes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.wire import hpack_blocks, http2
from gateway.wire.hpack_blocks import HeaderBlockError, Headers
from gateway.wire.http2 import Http2Error

_CONNECTION_WINDOW_BYTES: Final = 1 << 30
_MAX_HEADER_BLOCK_BYTES: Final = hpack_blocks.MAX_HEADER_LIST_BYTES


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


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What this side takes."""

    stream_window_bytes: int = 256 << 10
    max_frame_bytes: int = 1 << 20


class Stream:
    """A call on a connection."""

    __slots__ = (
        "_connection",
        "_owed",
        "_pending",
        "closed_here",
        "id",
        "paused",
        "receive_window",
        "receiver",
        "send_window",
    )

    def __init__(self, connection: "ClientConnection", stream_id: int, receiver: Receiver, send_window: int) -> None:
        self.id = stream_id
        self.receiver = receiver
        self.send_window = send_window
        self.receive_window = connection.limits.stream_window_bytes
        self.closed_here = False
        self.paused = False
        self._connection = connection
        self._pending = b""
        self._owed = 0

    def send(self, data: bytes, *, end: bool) -> bool:
        """Sends what the windows allow and keeps the rest; False when there is a rest.

        The caller waits for `Receiver.writable` then, before it sends more.
        """
        self._pending += data
        self.closed_here = end
        return self._connection.pump(self)

    def reset(self, code: int) -> None:
        """Breaks the stream off; its receiver hears no more."""
        self._connection.reset(self, code)

    def pause(self) -> None:
        """Lets the server send no more than the window that it still has."""
        self.paused = True

    def resume(self) -> None:
        """Takes data again."""
        self.paused = False
        self.owe(0)

    def owe(self, count: int) -> None:
        """Gives bytes that were delivered back to the server's window, in large steps."""
        self._owed += count
        if self._owed >= self._connection.limits.stream_window_bytes >> 1 and not self.paused:
            self._connection.grant(self, self._owed)
            self._owed = 0

    def take_pending(self, count: int) -> bytes:
        """The next bytes to send."""
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    @property
    def pending_bytes(self) -> int:
        """How much waits for the server's window."""
        return len(self._pending)


class ClientConnection:
    """The state of a connection. `write` takes bytes for the server, in order."""

    def __init__(self, *, write: Callable[[bytes], None], limits: ClientLimits) -> None:
        self.limits = limits
        self.ready = False
        """Whether the server has said its settings."""
        self.retired = False
        """Whether the connection takes no new streams any more."""
        self.ping_answered = True
        self._write = write
        self._streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._next_stream_id = 1
        self._buffer = b""
        self._send_window = http2.DEFAULT_WINDOW_BYTES
        self._initial_window = http2.DEFAULT_WINDOW_BYTES
        self._max_send_frame = http2.DEFAULT_FRAME_BYTES
        self._max_streams = http2.MAX_STREAM_ID
        self._received = 0
        self._block: tuple[int, int, bytes] | None = None  # stream, flags and so far of a block that goes on
        self._handlers: Mapping[int, Callable[[int, int, bytes], None]] = {
            http2.HEADERS: self._on_headers,
            http2.RST_STREAM: self._on_rst_stream,
            http2.SETTINGS: self._on_settings,
            http2.PUSH_PROMISE: self._on_push_promise,
            http2.PING: self._on_ping,
            http2.GOAWAY: self._on_goaway,
            http2.WINDOW_UPDATE: self._on_window_update,
            http2.CONTINUATION: self._on_continuation,
        }

    @property
    def has_room(self) -> bool:
        """Whether a stream can be opened now."""
        return self.ready and not self.retired and len(self._streams) < self._max_streams

    @property
    def open_streams(self) -> int:
        """Streams that have not ended."""
        return len(self._streams)

    def start(self) -> None:
        """Sends the preface and the settings."""
        own = {
            http2.HEADER_TABLE_SIZE: 0,
            http2.ENABLE_PUSH: 0,
            http2.INITIAL_WINDOW_SIZE: self.limits.stream_window_bytes,
            http2.MAX_FRAME_SIZE: self.limits.max_frame_bytes,
            http2.MAX_HEADER_LIST_SIZE: hpack_blocks.MAX_HEADER_LIST_BYTES,
        }
        grown = http2.window_update(0, _CONNECTION_WINDOW_BYTES - http2.DEFAULT_WINDOW_BYTES)
        self._write(http2.PREFACE + http2.settings(own) + grown)

    def open(self, block: bytes, receiver: Receiver) -> Stream:
        """Opens a stream; only while there is room."""
        stream = Stream(self, self._next_stream_id, receiver, self._initial_window)
        self._next_stream_id += 2
        self.retired = self.retired or self._next_stream_id > http2.MAX_STREAM_ID
        self._streams[stream.id] = stream
        self._write(http2.headers_frames(stream.id, block, end=False, max_frame_bytes=self._max_send_frame))
        return stream

    def ping(self) -> None:
        """Asks whether the server is still there; `ping_answered` says whether it is."""
        self.ping_answered = False
        self._write(http2.frame(http2.PING, 0, 0, b"keepaliv"))

    def lost(self, message: str) -> None:
        """The connection is gone: every stream breaks off."""
        self.retired = True
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.receiver.reset(http2.REFUSED_STREAM, message)

    def receive(self, data: bytes) -> None:
        """Takes bytes of the server.

        Raises:
            Http2Error: they break the protocol.
        """
        if self._buffer:
            data = self._buffer + data
        position, end = 0, len(data)
        max_frame_bytes, unpack = self.limits.max_frame_bytes, http2.FRAME_HEADER.unpack_from
        run_id, run_bytes = 0, 0
        run: list[bytes] = []
        while end - position >= http2.FRAME_HEADER_BYTES:
            length, flags, stream_id = unpack(data, position)
            kind, length = length & 0xFF, length >> 8
            payload_at = position + http2.FRAME_HEADER_BYTES
            following = payload_at + length
            if length > max_frame_bytes:
                raise Http2Error(http2.FRAME_SIZE_ERROR, f"a frame has {length} bytes")
            if following > end:
                break
            position = following
            if kind == http2.DATA and not flags and self._block is None:  # nearly all frames are this one
                if stream_id != run_id:
                    self._deliver(run_id, run, run_bytes)
                    run_id, run, run_bytes = stream_id, [], 0
                run.append(data[payload_at:following])
                run_bytes += length
                continue
            self._deliver(run_id, run, run_bytes)
            run_id, run, run_bytes = 0, [], 0
            self._on_frame(kind, flags, stream_id & http2.MAX_STREAM_ID, data[payload_at:following])
        self._deliver(run_id, run, run_bytes)
        self._buffer = data[position:]

    def pump(self, stream: Stream) -> bool:
        """Sends what the windows allow; False when some is left."""
        pending = stream.pending_bytes
        count = max(0, min(pending, stream.send_window, self._send_window))
        done = count == pending
        if count or (done and stream.closed_here):
            stream.send_window -= count
            self._send_window -= count
            end = done and stream.closed_here
            data = stream.take_pending(count)
            self._write(http2.data_frames(stream.id, data, end=end, max_frame_bytes=self._max_send_frame))
        if done:
            self._blocked.pop(stream.id, None)
        else:
            self._blocked[stream.id] = stream
        return done

    def grant(self, stream: Stream, count: int) -> None:
        """Enlarges the server's window of a stream."""
        if stream.id in self._streams:
            stream.receive_window += count
            self._write(http2.window_update(stream.id, count))

    def reset(self, stream: Stream, code: int) -> None:
        """Breaks a stream off."""
        if self._forget(stream):
            self._write(http2.rst_stream(stream.id, code))

    def _forget(self, stream: Stream) -> bool:
        self._blocked.pop(stream.id, None)
        return self._streams.pop(stream.id, None) is not None

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
            raise Http2Error(http2.FLOW_CONTROL_ERROR, "the server sent more than its window")
        stream.receiver.data(run[0] if len(run) == 1 else b"".join(run))
        stream.owe(count)

    def _count(self, count: int) -> None:
        # The window of the connection is given back at once: a slow stream must not hold up the others, and
        # the window of each stream bounds what it can hold.
        self._received += count
        if self._received >= _CONNECTION_WINDOW_BYTES >> 2:
            self._write(http2.window_update(0, self._received))
            self._received = 0

    def _check_known(self, stream_id: int) -> None:
        if stream_id % 2 == 0 or stream_id >= self._next_stream_id:
            raise Http2Error(http2.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which was never opened")

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != http2.CONTINUATION:
            raise Http2Error(http2.PROTOCOL_ERROR, "a header block was interrupted")
        if not self.ready and kind != http2.SETTINGS:
            raise Http2Error(http2.PROTOCOL_ERROR, "the server did not begin with SETTINGS")
        if kind == http2.DATA:
            self._on_data(flags, stream_id, payload)
        elif kind in self._handlers:
            self._handlers[kind](flags, stream_id, payload)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        data = http2.unpadded(http2.DATA, flags, payload)
        stream = self._streams.get(stream_id)
        self._deliver(stream_id, [data], len(payload))
        if stream is not None and flags & http2.END_STREAM and self._close(stream):
            stream.receiver.ended()

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = http2.unpadded(http2.HEADERS, flags, payload)
        _check_length(block)
        if flags & http2.END_HEADERS:
            self._on_block(stream_id, flags, block)
        else:
            self._block = stream_id, flags, block

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise Http2Error(http2.PROTOCOL_ERROR, "a CONTINUATION without a header block")
        _, first_flags, block = self._block
        block += payload
        _check_length(block)
        self._block = stream_id, first_flags, block
        if flags & http2.END_HEADERS:
            self._block = None
            self._on_block(stream_id, first_flags, block)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        try:
            headers = hpack_blocks.decode(block)
        except HeaderBlockError as error:
            raise Http2Error(http2.COMPRESSION_ERROR, str(error)) from None
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return
        end = bool(flags & http2.END_STREAM)
        if end and not self._close(stream):
            return
        stream.receiver.headers(headers, end=end)

    def _close(self, stream: Stream) -> bool:
        """The server is done. Where this side is not, it says so, since nothing of it is wanted any more."""
        if not self._forget(stream):
            return False
        if not stream.closed_here or stream.pending_bytes:
            self._write(http2.rst_stream(stream.id, http2.NO_ERROR))
        return True

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        code = http2.parse_uint32(payload)
        stream = self._streams.get(stream_id)
        if stream is not None and self._forget(stream):
            stream.receiver.reset(code, f"the backend broke the stream off (HTTP/2 error {code})")

    def _on_settings(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & http2.ACK:
            return
        for key, value in http2.parse_settings(payload):
            self._on_setting(key, value)
        self.ready = True
        self._write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        self._unblock()

    def _on_setting(self, key: int, value: int) -> None:
        if key == http2.MAX_CONCURRENT_STREAMS:
            self._max_streams = value
        elif key == http2.MAX_FRAME_SIZE:
            if not http2.DEFAULT_FRAME_BYTES <= value < 1 << 24:
                raise Http2Error(http2.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
            self._max_send_frame = value
        elif key == http2.INITIAL_WINDOW_SIZE:
            if value > http2.MAX_WINDOW_BYTES:
                raise Http2Error(http2.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}")
            for stream in self._streams.values():
                stream.send_window += value - self._initial_window
            self._initial_window = value

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise Http2Error(http2.PROTOCOL_ERROR, "the server pushes, which it was told not to")

    def _on_ping(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise Http2Error(http2.FRAME_SIZE_ERROR, "a PING has not 8 bytes")
        if flags & http2.ACK:
            self.ping_answered = True
        else:
            self._write(http2.frame(http2.PING, http2.ACK, 0, payload))

    def _on_goaway(self, _flags: int, _stream_id: int, payload: bytes) -> None:
        self.retired = True
        last_stream_id = http2.parse_uint32(payload) & http2.MAX_STREAM_ID
        for stream in [stream for stream in self._streams.values() if stream.id > last_stream_id]:
            self._forget(stream)
            stream.receiver.reset(http2.REFUSED_STREAM, "the backend goes away; call again")

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = http2.parse_uint32(payload) & http2.MAX_WINDOW_BYTES
        if stream_id == 0:
            self._send_window += increment
            if not increment or self._send_window > http2.MAX_WINDOW_BYTES:
                raise Http2Error(http2.FLOW_CONTROL_ERROR, "a WINDOW_UPDATE of the connection is out of range")
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.send_window += increment
        self._unblock()

    def _unblock(self) -> None:
        for stream in list(self._blocked.values()):
            if self.pump(stream):
                stream.receiver.writable()


def _check_length(block: bytes) -> None:
    if len(block) > _MAX_HEADER_BLOCK_BYTES:
        raise Http2Error(http2.ENHANCE_YOUR_CALM, "a header block is too long")
