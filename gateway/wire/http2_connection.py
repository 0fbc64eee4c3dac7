"""What both ends of an HTTP/2 connection share: cutting frames, windows in both directions, taking turns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2 import Http2Error

# Given back at once: a slow stream must not hold up the others, and the window of each stream bounds what it can hold.
CONNECTION_WINDOW_BYTES: Final = 1 << 30
_KEPT_BLOCK_BYTES: Final = hpack_blocks.MAX_HEADER_LIST_BYTES
# Of a block that has to be read although it is refused, since it may change the table that later blocks lean on.
_MOST_READ_BLOCK_BYTES: Final = 256 << 10
# Of a block that stands for itself and is dropped as it comes: no other frame can pass meanwhile.
_MOST_DROPPED_BLOCK_BYTES: Final = 16 << 20
_TINY_INCREMENT_BYTES: Final = 1024
_BURST_BYTES: Final = 64 << 10


class Stream:
    """A stream of a connection."""

    __slots__ = (
        "_connection", "_owed", "_step_bytes", "closed_here", "id", "moved_at", "paused", "pending", "receive_window",
        "send_window", "trailers",
    )  # fmt: skip

    def __init__(self, connection: "Connection[Any]", stream_id: int) -> None:
        self.id = stream_id
        self.send_window = connection.initial_window
        self.receive_window = connection.stream_window_bytes
        self.closed_here = False
        self.trailers = b""
        """The header block that ends the stream behind the data."""
        self.paused = False
        self.pending: bytearray | None = None
        """What waits for the peer; None when nothing does."""
        self.moved_at = 0.0
        """When the first of it began to wait, or some of it was sent."""
        self._connection = connection
        self._owed = 0
        self._step_bytes = connection.stream_window_bytes >> 1

    def send(self, data: bytes, *, end: bool) -> bool:
        """Sends what the peer takes now and keeps the rest; False when there is a rest."""
        self.closed_here = end
        return self._connection.send(self, data)

    def reset(self, code: int) -> None:
        """Breaks the stream off; nothing more is heard of it."""
        self._connection.reset(self, code)

    def pause(self) -> None:
        """Lets the peer send no more than the window that it still has."""
        self.paused = True

    def resume(self) -> None:
        """Takes data again."""
        self.paused = False
        self.owe(0)

    def owe(self, count: int) -> None:
        """Gives bytes that were delivered back to the peer's window, in large steps."""
        self._owed += count
        if self._owed >= self._step_bytes and not self.paused:
            self._connection.grant(self, self._owed)
            self._owed = 0

    def widen(self, count: int) -> None:
        """Enlarges the peer's window once for all."""
        self._step_bytes += count >> 1
        self._connection.grant(self, count)

    @property
    def pending_bytes(self) -> int:
        """How much waits for the peer."""
        return len(self.pending) if self.pending is not None else 0


@dataclass(slots=True)
class _OpenBlock:
    """A header block whose end has not come."""

    stream_id: int
    flags: int
    data: bytearray
    count: int = 0
    """How many bytes have come, kept or not."""


StreamT = TypeVar("StreamT", bound=Stream)


class Connection(ABC, Generic[StreamT]):
    """One end of a connection. `write` takes bytes for the peer, in order; `flush` lets the socket say it is full.

    What is wrong with one stream ends that stream. `Http2Error` ends all of them, and is raised only where RFC 9113
    demands it, as each place says, or lets it be for floods (10.5).
    """

    _HANDLERS: ClassVar[Mapping[int, str]] = {
        http2.DATA: "_on_data",
        http2.HEADERS: "_on_headers",
        http2.PRIORITY: "_on_priority",
        http2.RST_STREAM: "_on_rst_stream",
        http2.SETTINGS: "_on_settings",
        http2.PUSH_PROMISE: "_on_push_promise",
        http2.PING: "_on_ping",
        http2.GOAWAY: "_on_goaway",
        http2.WINDOW_UPDATE: "_on_window_update",
        http2.CONTINUATION: "_on_continuation",
    }

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        flush: Callable[[], None] | None,
        stream_window_bytes: int,
        max_frame_bytes: int,
    ) -> None:
        self.write = write
        self._flush = flush
        self.stream_window_bytes = stream_window_bytes
        self.initial_window = http2.DEFAULT_WINDOW_BYTES
        self.max_send_frame = http2.DEFAULT_FRAME_BYTES
        self.ready = False
        """Whether the peer has said its settings."""
        self.retired = False
        """Whether the connection takes no new streams any more."""
        self.ping_answered = True
        self.full = False
        """Whether the socket takes no more, so that data waits."""
        self.now = 0.0
        self._max_frame_bytes = max_frame_bytes
        self._streams: dict[int, StreamT] = {}
        self._waiting: dict[int, StreamT] = {}  # whose own window is open, in the order in which it is their turn
        self._buffer = b""
        self._send_window = http2.DEFAULT_WINDOW_BYTES
        self._received = 0
        self._skipping = 0  # bytes of a frame that was too long
        self._block: _OpenBlock | None = None

    @property
    def open_streams(self) -> int:
        """Streams that have not ended."""
        return len(self._streams)

    def _greet(self, own: Mapping[int, int], preface: bytes = b"") -> None:
        grown = http2.window_update(0, CONNECTION_WINDOW_BYTES - http2.DEFAULT_WINDOW_BYTES)
        self.write(preface + http2.settings(own) + grown)

    def ping(self) -> None:
        """Asks whether the peer is still there; `ping_answered` says whether it is."""
        self.ping_answered = False
        self.write(http2.frame(http2.PING, 0, 0, b"keepaliv"))

    def receive(self, data: bytes) -> None:
        """Takes bytes of the peer.

        Raises:
            Http2Error: they break the protocol.
        """
        if self._buffer:
            data = self._buffer + data
        position, end = min(self._skipping, len(data)), len(data)
        self._skipping -= position
        max_frame_bytes, unpack = self._max_frame_bytes, http2.FRAME_HEADER.unpack_from
        runs: dict[int, list[bytes]] = {}
        while end - position >= http2.FRAME_HEADER_BYTES:
            length, flags, stream_id = unpack(data, position)
            kind, length = length & 0xFF, length >> 8
            payload_at = position + http2.FRAME_HEADER_BYTES
            following = payload_at + length
            if length > max_frame_bytes:
                self._deliver_all(runs)
                runs = {}
                self._refuse_frame(kind, stream_id & http2.MAX_STREAM_ID, length)
                position = min(following, end)
                self._skipping = following - position
                continue
            if following > end:
                break
            position = following
            if kind == http2.DATA and not flags and self._block is None:  # nearly all frames are this one
                run = runs.get(stream_id)
                if run is None:
                    runs[stream_id] = [data[payload_at:following]]
                else:
                    run.append(data[payload_at:following])
                continue
            if runs:
                self._deliver_all(runs)
                runs = {}
            self._on_frame(kind, flags, stream_id & http2.MAX_STREAM_ID, data[payload_at:following])
        self._deliver_all(runs)
        self._buffer = data[position:]

    def _deliver_all(self, runs: dict[int, list[bytes]]) -> None:
        for stream_id, run in runs.items():
            self._deliver(stream_id & http2.MAX_STREAM_ID, run, sum(map(len, run)))

    def send(self, stream: StreamT, data: bytes) -> bool:
        """Sends data of a stream, or lets it wait for the peer; False when some waits."""
        size = len(data)
        if stream.pending or self._waiting or self.full or size > stream.send_window or size > self._send_window:
            return self._hold(stream, data)
        if size or stream.closed_here:
            stream.send_window -= size
            self._send_window -= size
            self._write_data(stream, data)
        return True

    def grant(self, stream: StreamT, count: int) -> None:
        """Enlarges the peer's window of a stream."""
        if stream.id in self._streams:
            stream.receive_window += count
            self.write(http2.window_update(stream.id, count))

    def reset(self, stream: StreamT, code: int) -> None:
        """Breaks a stream off."""
        if self._forget(stream):
            self.write(http2.rst_stream(stream.id, code))

    # What differs.

    @abstractmethod
    def _deliver(self, stream_id: int, run: list[bytes], count: int) -> None:
        """The payloads of DATA frames of one stream; `count` is what they take of the windows. There may be none."""

    @property
    @abstractmethod
    def _blocks_stand_alone(self) -> bool:
        """Whether the peer's header blocks lean on no table, so that one can be left unread."""

    @abstractmethod
    def _on_block(self, stream_id: int, flags: int, block: bytes | None) -> None:
        """A whole header block; None for one that is too long to be read."""

    @abstractmethod
    def _on_end(self, stream: StreamT) -> None:
        """The peer ended the stream with a DATA frame."""

    @abstractmethod
    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The peer broke the stream off."""

    @abstractmethod
    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The peer wants no new streams."""

    @abstractmethod
    def _caught_up(self, stream: StreamT) -> None:
        """All that waited is sent, and the stream is open still."""

    @abstractmethod
    def _break(self, stream: StreamT, code: int, problem: str) -> None:
        """The peer broke the rules of this stream; nothing else is harmed."""

    @abstractmethod
    def _check_known(self, stream_id: int) -> None:
        """A frame came for a stream that is not open.

        Raises:
            Http2Error: it never was.
        """

    def _on_sent(self, stream: StreamT) -> None:
        """This side has ended the stream."""

    def _on_settings_ack(self) -> None:
        """The peer goes by the settings of this side from now on."""

    def _charge(self, count: int = 1) -> None:
        """Frames came that carry nothing forward."""

    # Sending.

    def _hold(self, stream: StreamT, data: bytes) -> bool:
        if stream.pending:
            stream.pending += data
        elif data:
            stream.pending = bytearray(data)
            stream.moved_at = self.now
        else:  # an end needs no window
            if stream.closed_here:
                self._write_data(stream, b"")
            return True
        if stream.send_window > 0:
            self._waiting[stream.id] = stream
            self._drain()
        return not stream.pending

    def _drain(self) -> None:
        """Sends what waits, a frame of each stream in turn, so that none starves."""
        caught_up: list[StreamT] = []
        burst = 0
        while self._waiting and self._send_window > 0 and not self.full:
            stream = self._waiting.pop(next(iter(self._waiting)))
            pending = stream.pending
            if not pending or stream.send_window <= 0:
                continue
            count = min(len(pending), stream.send_window, self._send_window, self.max_send_frame)
            data = bytes(pending[:count])
            del pending[:count]
            stream.send_window -= count
            self._send_window -= count
            stream.moved_at = self.now
            if not pending:
                stream.pending = None
                caught_up.append(stream)
            elif stream.send_window > 0:
                self._waiting[stream.id] = stream
            self._write_data(stream, data)
            burst += count
            if burst >= _BURST_BYTES and self._flush is not None:
                burst = 0
                self._flush()
        for stream in caught_up:
            if stream.id in self._streams:
                self._caught_up(stream)

    def _write_data(self, stream: StreamT, data: bytes) -> None:
        """Writes data, and the end of the stream behind the last of it."""
        if stream.pending or not stream.closed_here:
            size = len(data)
            if size <= self.max_send_frame:  # as nearly all are
                self.write(http2.FRAME_HEADER.pack(size << 8, 0, stream.id) + data)
            else:
                self.write(http2.data_frames(stream.id, data, end=False, max_frame_bytes=self.max_send_frame))
            return
        if data or not stream.trailers:
            ends = not stream.trailers
            self.write(http2.data_frames(stream.id, data, end=ends, max_frame_bytes=self.max_send_frame))
        if stream.trailers:
            self.write(http2.headers_frames(stream.id, stream.trailers, end=True, max_frame_bytes=self.max_send_frame))
        self._on_sent(stream)

    def _forget(self, stream: StreamT) -> bool:
        stream.pending = None
        self._waiting.pop(stream.id, None)
        return self._streams.pop(stream.id, None) is not None

    # Receiving.

    def _count(self, count: int) -> None:
        """Bytes of DATA came, wanted or not."""
        self._received += count
        if self._received >= CONNECTION_WINDOW_BYTES >> 2:
            self.write(http2.window_update(0, self._received))
            self._received = 0

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self._check_place(kind, flags)
        handler = self._HANDLERS.get(kind)
        if handler is None:
            self._charge()
        else:
            getattr(self, handler)(flags, stream_id, payload)

    def _check_place(self, kind: int, flags: int) -> None:
        if self._block is not None and kind != http2.CONTINUATION:  # RFC 9113, 4.3 and 6.10
            raise Http2Error(http2.PROTOCOL_ERROR, "a header block was interrupted")
        if not self.ready and (kind != http2.SETTINGS or flags & http2.ACK):  # RFC 9113, 3.4
            raise Http2Error(http2.PROTOCOL_ERROR, "the peer did not begin with SETTINGS")

    def _refuse_frame(self, kind: int, stream_id: int, length: int) -> None:
        """A frame is longer than this side takes."""
        self._check_place(kind, 0)
        self._charge()
        problem = f"a frame has {length} bytes"
        # RFC 9113, 4.2: those that change the state of the connection end it; 6.4 and 6.9 say so of their own frames.
        if stream_id == 0 or http2.PRIORITY < kind <= http2.CONTINUATION or kind == http2.HEADERS:
            raise Http2Error(http2.FRAME_SIZE_ERROR, problem)
        if kind == http2.DATA:
            self._count(length)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._break(stream, http2.FRAME_SIZE_ERROR, problem)
        elif kind == http2.DATA:
            self._check_known(stream_id)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._deliver(stream_id, [http2.unpadded(http2.DATA, flags, payload)], len(payload))
        stream = self._streams.get(stream_id)
        if stream is not None and flags & http2.END_STREAM:
            self._on_end(stream)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        data = http2.unpadded(http2.HEADERS, flags, payload)
        if flags & http2.END_HEADERS and len(data) <= _KEPT_BLOCK_BYTES:  # as nearly all do
            self._on_block(stream_id, flags, data)
        else:
            self._block = _OpenBlock(stream_id, flags, bytearray())
            self._extend(self._block, data, ends=bool(flags & http2.END_HEADERS))

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block.stream_id != stream_id:  # RFC 9113, 6.10
            raise Http2Error(http2.PROTOCOL_ERROR, "a CONTINUATION without a header block")
        self._charge()
        self._extend(self._block, payload, ends=bool(flags & http2.END_HEADERS))

    def _extend(self, block: _OpenBlock, data: bytes, *, ends: bool) -> None:
        block.count += len(data)
        dropped = block.count > _KEPT_BLOCK_BYTES and self._blocks_stand_alone
        if dropped:
            block.data.clear()
            if block.count > _MOST_DROPPED_BLOCK_BYTES:  # RFC 9113, 10.5
                raise Http2Error(http2.ENHANCE_YOUR_CALM, "a header block is too long")
        elif block.count > _MOST_READ_BLOCK_BYTES:  # RFC 9113, 4.3: what is not decompressed ends the connection
            raise Http2Error(http2.COMPRESSION_ERROR, "a header block is too long to be read")
        else:
            block.data += data
        if ends:
            self._block = None
            self._on_block(block.stream_id, block.flags, None if dropped else bytes(block.data))

    def _on_priority(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        self._charge()

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        # RFC 9113, 6.6 and 8.4: servers were told not to, and clients never may.
        raise Http2Error(http2.PROTOCOL_ERROR, "the peer pushes, which it must not")

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:  # RFC 9113, 6.5
            raise Http2Error(http2.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & http2.ACK:
            if payload:  # RFC 9113, 6.5
                raise Http2Error(http2.FRAME_SIZE_ERROR, "SETTINGS are acknowledged with values")
            self._on_settings_ack()
            return
        self._charge()
        for key, value in dict(http2.parse_settings(payload)).items():  # of a value that stands twice the last counts
            self._on_setting(key, value)
        self.ready = True
        self.write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        self._drain()

    def _on_setting(self, key: int, value: int) -> None:
        if key == http2.MAX_FRAME_SIZE:
            if not http2.DEFAULT_FRAME_BYTES <= value < 1 << 24:  # RFC 9113, 6.5.2
                raise Http2Error(http2.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
            self.max_send_frame = value
        elif key == http2.INITIAL_WINDOW_SIZE:
            if value > http2.MAX_WINDOW_BYTES:  # RFC 9113, 6.5.2
                raise Http2Error(http2.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}")
            change, self.initial_window = value - self.initial_window, value
            for stream in self._streams.values():
                self._widen(stream, change)

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:  # RFC 9113, 6.7
            raise Http2Error(http2.PROTOCOL_ERROR, "a PING on a stream")
        if len(payload) != 8:  # RFC 9113, 6.7
            raise Http2Error(http2.FRAME_SIZE_ERROR, "a PING has not 8 bytes")
        self._charge()
        if flags & http2.ACK:
            self.ping_answered = True
        else:
            self.write(http2.frame(http2.PING, http2.ACK, 0, payload))

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = http2.parse_uint32(payload) & http2.MAX_WINDOW_BYTES
        if increment < _TINY_INCREMENT_BYTES:  # others are few, since the sum of them is bounded by what is sent
            self._charge()
        if stream_id == 0:
            self._send_window += increment
            if not increment or self._send_window > http2.MAX_WINDOW_BYTES:  # RFC 9113, 6.9 and 6.9.1
                raise Http2Error(http2.FLOW_CONTROL_ERROR, "a WINDOW_UPDATE of the connection is out of range")
        else:
            stream = self._streams.get(stream_id)
            if stream is None:
                self._check_known(stream_id)
                self._charge()
            elif not increment:
                self._break(stream, http2.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0 bytes")
            elif stream.send_window + increment > http2.MAX_WINDOW_BYTES:
                self._break(stream, http2.FLOW_CONTROL_ERROR, "the window of the stream is out of range")
            else:
                self._widen(stream, increment)
        self._drain()

    def _widen(self, stream: StreamT, change: int) -> None:
        stream.send_window += change
        if stream.send_window > http2.MAX_WINDOW_BYTES:  # by SETTINGS, since an update was checked: RFC 9113, 6.9.2
            raise Http2Error(http2.FLOW_CONTROL_ERROR, "the window of a stream is out of range")
        if stream.pending and stream.send_window > 0:
            self._waiting[stream.id] = stream
