"""A server's side of an HTTP/2 connection: bytes in, calls on uploads and bytes out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from troupe.gateway.wire import http2, http2_connection, response_blocks
from troupe.gateway.wire.body_pace import BodyPace, never_takes_stream
from troupe.gateway.wire.hpack_blocks import HeaderBlockError
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_connection import Connection
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.request_blocks import HeaderList, RequestBlockReader

_CONGESTED_BYTES: Final = 32 << 10
_RATE_SECONDS: Final = 10
_CREDIT_OF_A_STREAM: Final = 4  # frames that carry nothing, which a client may well send for each stream that it ends
_CONTINUE: Final = response_blocks.encode(100, ())
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """What a client may ask of a connection."""

    max_concurrent_streams: int = 256
    max_header_bytes: int = 16 << 10
    stream_window_bytes: int = 64 << 10
    """Of a request's body; no less than clients take for granted, which is 65,535."""
    max_resets: int = 200
    """Streams that a client may break off in ten seconds, beyond as many as it let end."""
    max_idle_frames: int = 10_000
    """Frames in ten seconds that carry nothing forward, such as PING."""
    header_timeout_seconds: float = 10
    body_timeout_seconds: float = 30
    """In which each KiB of a body has to come, until the response begins; see `BodyPace`."""
    takes_stream: Callable[[bytes], bool] = never_takes_stream
    """Whether the body of a request to this target is a stream of messages, which may come as slowly as it likes."""
    write_timeout_seconds: float = 30
    """How long a client may take none of what waits for it."""
    keep_alive_seconds: float = 75
    write_buffer_bytes: int = 32 << 10


@dataclass(slots=True)
class Http2Counters:
    """What was refused to clients, of all connections."""

    streams_refused: int = 0
    malformed_requests: int = 0
    header_lists_too_large: int = 0
    bodies_timed_out: int = 0
    streams_stalled: int = 0
    connections_stalled: int = 0
    rapid_resets: int = 0
    floods: int = 0
    protocol_errors: int = 0


class Upload(Protocol):
    """What takes the body of a request. After `gone` nothing more is called."""

    def body(self, data: bytes) -> None:
        """The payloads of all DATA frames that arrived in a run."""
        ...

    def body_ended(self) -> None:
        """All of the body has come."""
        ...

    def writable(self) -> None:
        """The client has caught up."""
        ...

    def gone(self) -> None:
        """The stream broke off."""
        ...


class ServerStream(http2_connection.Stream):
    """A request, and what answers it. After `end`, or after the client has gone, every call does nothing."""

    __slots__ = ("_bodiless", "_head", "_target", "body_left", "ended", "over", "pace", "started", "upload")

    _connection: "ServerConnection"

    def __init__(
        self, connection: "ServerConnection", stream_id: int, head: RequestHead, content_length: int | None
    ) -> None:
        super().__init__(connection, stream_id)
        self.upload: Upload | None = None
        self.body_left = content_length
        self.ended = False
        """Whether all of the request has come."""
        self.started = False
        self.over = False
        self.pace = BodyPace(connection.now)
        self._target = head.target
        self._bodiless = head.method == b"HEAD"
        self._head = b""  # kept until it is known whether it ends the stream

    @property
    def congested(self) -> bool:
        """Whether the client reads too slowly; `Upload.writable` is called when it has caught up."""
        pending = self.pending
        return self._connection.full or (pending is not None and len(pending) > _CONGESTED_BYTES)

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        """Sends the head of the response; with a length of 0 it goes with the end."""
        if self.over:
            return
        self.started = True
        block = response_blocks.encode(status, headers, length)
        if length == 0 or self._bodiless:
            self._head = block
        else:
            self._connection.write_block(self, block, end=False)

    def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        if data and not self.over and not self._bodiless:
            if self._head:
                self._flush_head(end=False)
            self._connection.send(self, data)

    def end(self, data: bytes = b"", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Sends the last part of the body, and trailers."""
        if self.over:
            return
        self.over = True
        self.upload = None
        self.trailers = response_blocks.encode_trailers(trailers)
        if self._bodiless:
            data = b""
        if self._head:
            alone = not data and not self.trailers
            self._flush_head(end=alone)
            if alone:
                self._connection.finish(self)
                return
        self.send(data, end=True)

    def break_off(self) -> None:
        """Resets the stream."""
        if not self.over:
            self.over = True
            self.upload = None
            self._connection.reset(self, http2.INTERNAL_ERROR)

    def pause_body(self) -> None:
        """Lets the client send no more than its window."""
        self.pause()

    def resume_body(self) -> None:
        """Gives the window back again."""
        self.pace.restart(self._connection.now)
        if not self.ended:
            self.resume()

    def is_late(self, limits: Http2Limits) -> bool:
        """Whether the body comes too slowly."""
        return self.pace.is_late(
            self._connection.now, limits.body_timeout_seconds, is_stream=lambda: limits.takes_stream(self._target)
        )

    def leave(self) -> None:
        """The client has gone, or is sent away."""
        upload, self.upload = self.upload, None
        self.over = True
        if upload is not None:
            upload.gone()

    def _flush_head(self, *, end: bool) -> None:
        block, self._head = self._head, b""
        self._connection.write_block(self, block, end=end)


class ServerConnection(Connection[ServerStream]):
    """The state of a connection. `accept` takes requests; it gives None for one whose body does not matter."""

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        flush: Callable[[], None],
        accept: Callable[[RequestHead, ServerStream], Upload | None],
        limits: Http2Limits,
        counters: Http2Counters,
        now: float,
    ) -> None:
        super().__init__(
            write=write,
            flush=flush,
            stream_window_bytes=limits.stream_window_bytes,
            max_frame_bytes=http2.DEFAULT_FRAME_BYTES,
        )
        self.now = now
        self.last_stream_id = 0
        self._accept = accept
        self._limits = limits
        self._counters = counters
        self._reader = RequestBlockReader()
        self._greeted = False
        self._resets = 0
        self._idle_frames = 0
        self._rates_since = self._quiet_since = self._block_since = self._full_since = now
        self._seen_stream_id = 0

    def start(self) -> None:
        """Sends the settings."""
        own = {
            http2.HEADER_TABLE_SIZE: 0,
            http2.MAX_CONCURRENT_STREAMS: self._limits.max_concurrent_streams,
            http2.INITIAL_WINDOW_SIZE: self._limits.stream_window_bytes,
            http2.MAX_HEADER_LIST_SIZE: self._limits.max_header_bytes,
        }
        self._greet(own)

    def receive(self, data: bytes) -> None:
        """Takes bytes of the client.

        Raises:
            Http2Error: they break the protocol, or are too much of a kind.
        """
        if not self._greeted:
            data = self._buffer + data
            if not data.startswith(http2.PREFACE[: len(data)]):  # RFC 9113, 3.4
                raise Http2Error(http2.PROTOCOL_ERROR, "this is no HTTP/2")
            if len(data) < len(http2.PREFACE):
                self._buffer = data
                return
            self._greeted, self._buffer, data = True, b"", data[len(http2.PREFACE) :]
        super().receive(data)

    def hold(self) -> None:
        """The socket is full: data waits from now on."""
        self.full, self._full_since = True, self.now

    def release(self) -> None:
        """The socket takes data again."""
        self.full = False
        self._drain()
        for stream in list(self._streams.values()):
            if self.full:
                return
            if not stream.pending:
                self._caught_up(stream)

    def retire(self) -> None:
        """Takes no more requests; those that were taken go on."""
        if not self.retired:
            self.retired = True
            self.write(http2.goaway(self.last_stream_id, http2.NO_ERROR))

    def lost(self) -> None:
        """The connection is gone."""
        self.retired = True
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.leave()

    @property
    def idle_seconds(self) -> float:
        """How long no request was there."""
        return self.now - self._quiet_since

    def sweep(self, now: float) -> None:
        """Looks at the clock; to be called now and then, since nothing else does.

        Raises:
            Http2Error: the client has used up its patience.
        """
        self.now = now
        limits = self._limits
        if now - self._rates_since >= _RATE_SECONDS:
            self._rates_since, self._resets, self._idle_frames = now, 0, 0
        if self._streams or self.last_stream_id != self._seen_stream_id:
            self._quiet_since, self._seen_stream_id = now, self.last_stream_id
        if not self.ready and now - self._quiet_since > limits.header_timeout_seconds:  # RFC 9113, 3.4 and 10.5
            raise Http2Error(http2.SETTINGS_TIMEOUT, "the settings did not come in time")
        if self._block is None:
            self._block_since = now
        elif now - self._block_since > limits.header_timeout_seconds:  # nothing else can come before it (RFC 9113, 4.3)
            raise Http2Error(http2.ENHANCE_YOUR_CALM, "the end of a header block did not come in time")
        if self.full and now - self._full_since > limits.write_timeout_seconds:  # no stream can be heard any more
            self._counters.connections_stalled += 1
            raise Http2Error(http2.ENHANCE_YOUR_CALM, "nothing was read for too long")
        for stream in list(self._streams.values()):
            self._sweep_stream(stream)

    def write_block(self, stream: ServerStream, block: bytes, *, end: bool) -> None:
        """Writes the head of a response."""
        self.write(http2.headers_frames(stream.id, block, end=end, max_frame_bytes=self.max_send_frame))

    def finish(self, stream: ServerStream) -> None:
        """The response is sent. What is left of the request nobody wants any more."""
        if self._forget(stream):
            self._resets -= 1
            self._idle_frames -= _CREDIT_OF_A_STREAM
            if not stream.ended:
                self.write(http2.rst_stream(stream.id, http2.NO_ERROR))

    def waiting(self) -> list[ServerStream]:
        """Streams of which something waits for the client."""
        return [stream for stream in self._streams.values() if stream.pending]

    def give_up(self, stream: ServerStream) -> None:
        """Breaks off a stream that the client does not read."""
        self._counters.streams_stalled += 1
        self.reset(stream, http2.CANCEL)
        stream.leave()

    def _sweep_stream(self, stream: ServerStream) -> None:
        if stream.pending:
            if not self.full and self.now - stream.moved_at > self._limits.write_timeout_seconds:
                self.give_up(stream)
        elif not (stream.ended or stream.started) and stream.is_late(self._limits):
            self._counters.bodies_timed_out += 1
            upload, stream.upload = stream.upload, None
            _answer(stream, 408, "the body of the request did not come, or could not be passed on, in time")
            if upload is not None:
                upload.gone()

    @property
    def _blocks_stand_alone(self) -> bool:
        return self._reader.settled

    def _on_block(self, stream_id: int, flags: int, block: bytes | None) -> None:
        end = bool(flags & http2.END_STREAM)
        stream = self._streams.get(stream_id)
        headers = self._read(block)
        if stream is not None:
            self._on_trailers(stream, headers, end=end)
        elif stream_id % 2 == 0:  # RFC 9113, 5.1.1
            raise Http2Error(http2.PROTOCOL_ERROR, f"a request on stream {stream_id}, which is none of a client")
        elif stream_id <= self.last_stream_id:
            self._charge()  # it may have been under way when the stream ended
        elif not self.retired:
            self.last_stream_id = stream_id
            self._open(stream_id, headers, end=end)

    def _read(self, block: bytes | None) -> HeaderList | None:
        """What a block says; None when it is too long."""
        limit = self._limits.max_header_bytes
        if block is None or (len(block) > limit and self._reader.settled):
            return None  # unread, since unpacking is the dear part
        try:
            headers = self._reader.read(block)
        except HeaderBlockError as error:  # RFC 9113, 4.3
            raise Http2Error(http2.COMPRESSION_ERROR, str(error)) from None
        return headers if headers is not None and headers.list_bytes <= limit else None

    def _open(self, stream_id: int, headers: HeaderList | None, *, end: bool) -> None:
        if headers is None:
            self._refuse_headers(stream_id, end=end)
        elif headers.request is None or (end and headers.content_length):
            self._counters.malformed_requests += 1
            self.write(http2.rst_stream(stream_id, http2.PROTOCOL_ERROR))
            self._count_reset()
        elif len(self._streams) >= self._limits.max_concurrent_streams:
            self._counters.streams_refused += 1
            self.write(http2.rst_stream(stream_id, http2.REFUSED_STREAM))
            self._charge()
        else:
            stream = ServerStream(self, stream_id, headers.request, headers.content_length)
            stream.ended = end
            self._streams[stream_id] = stream
            self._begin(stream, headers.request)

    def _begin(self, stream: ServerStream, head: RequestHead) -> None:
        upload = self._accept(head, stream)
        if upload is None or stream.over:
            return
        stream.upload = upload
        if stream.ended:
            upload.body_ended()
        elif not stream.started and head.get(b"expect").lower() == b"100-continue":
            self.write_block(stream, _CONTINUE, end=False)

    def _refuse_headers(self, stream_id: int, *, end: bool) -> None:
        self._counters.header_lists_too_large += 1
        self._charge()
        block = response_blocks.encode(431, (), 0)
        self.write(http2.headers_frames(stream_id, block, end=True, max_frame_bytes=self.max_send_frame))
        if not end:
            self.write(http2.rst_stream(stream_id, http2.NO_ERROR))

    def _on_trailers(self, stream: ServerStream, headers: HeaderList | None, *, end: bool) -> None:
        if stream.ended:
            self._break(stream, http2.STREAM_CLOSED, "headers behind the end of the request")
        elif not end or headers is None or not headers.is_trailers:
            self._break(stream, http2.PROTOCOL_ERROR, "trailers that are none, or too long")
        else:
            self._on_end(stream)

    def _deliver(self, stream_id: int, run: list[bytes], count: int) -> None:
        if not run:
            return
        self._count(count)
        if len(run) > count:
            self._charge(len(run) - count)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            self._charge(len(run))
            return
        if stream.ended:
            self._break(stream, http2.STREAM_CLOSED, "data behind the end of the request")
            return
        stream.receive_window -= count
        if stream.receive_window < 0:
            self._break(stream, http2.FLOW_CONTROL_ERROR, "more was sent than the window of the stream")
            return
        data = run[0] if len(run) == 1 else b"".join(run)
        if not data:
            self._charge()
        if stream.body_left is not None:
            stream.body_left -= len(data)
            if stream.body_left < 0:
                self._break(stream, http2.PROTOCOL_ERROR, "a body longer than its `content-length`")
                return
        stream.pace.heard(len(data), self.now)
        if data and stream.upload is not None:
            stream.upload.body(data)
        stream.owe(count)

    def _on_end(self, stream: ServerStream) -> None:
        if stream.body_left:
            self._break(stream, http2.PROTOCOL_ERROR, "a body shorter than its `content-length`")
            return
        stream.ended = True
        if stream.upload is not None:
            stream.upload.body_ended()

    def _on_sent(self, stream: ServerStream) -> None:
        self.finish(stream)

    def _caught_up(self, stream: ServerStream) -> None:
        if stream.upload is not None:
            stream.upload.writable()

    def _break(self, stream: ServerStream, code: int, _problem: str) -> None:
        self._counters.malformed_requests += 1
        self.reset(stream, code)
        stream.leave()
        self._count_reset()

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:  # RFC 9113, 6.4
            raise Http2Error(http2.FRAME_SIZE_ERROR, "a RST_STREAM has not 4 bytes")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            self._charge()
        elif self._forget(stream):
            stream.leave()
            self._count_reset()

    def _on_settings_ack(self) -> None:
        self._reader.settle()
        self._charge()

    def _on_goaway(self, _flags: int, stream_id: int, _payload: bytes) -> None:
        if stream_id:  # RFC 9113, 6.8
            raise Http2Error(http2.PROTOCOL_ERROR, "a GOAWAY on a stream")
        self._charge()  # the client closes when its streams have ended

    def _check_known(self, stream_id: int) -> None:
        if stream_id % 2 == 0 or (stream_id > self.last_stream_id and not self.retired):  # RFC 9113, 5.1
            raise Http2Error(http2.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which was never opened")

    def _charge(self, count: int = 1) -> None:
        self._idle_frames += count
        if self._idle_frames > self._limits.max_idle_frames:  # RFC 9113, 10.5
            self._counters.floods += 1
            raise Http2Error(http2.ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > self._limits.max_resets:  # RFC 9113, 10.5
            self._counters.rapid_resets += 1
            raise Http2Error(http2.ENHANCE_YOUR_CALM, "too many streams were broken off")


def _answer(stream: ServerStream, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    stream.start(status, (_TEXT,), length=len(body))
    stream.end(body)
