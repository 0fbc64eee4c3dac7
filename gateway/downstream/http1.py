"""HTTP/1.1 for clients, on asyncio: keep-alive, pipelining, limits."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, cast

from troupe.gateway.batching import BatchingWriter
from troupe.gateway.downstream.exchange import Application, Upload
from troupe.gateway.downstream.open_connections import OpenConnections, Unread
from troupe.gateway.wire import http1
from troupe.gateway.wire.body_pace import BodyPace, never_takes_stream
from troupe.gateway.wire.http1 import BadRequestError, Body, EndlessBody, Http1Head

_HEAD_END: Final = b"\r\n\r\n"
_LOOK_SECONDS: Final = 0.05
_FLUSHED_RESPONSES: Final = 32
_TCP_CLOSED: Final = (7, 8)  # CLOSE and CLOSE_WAIT of linux/tcp_states.h


@dataclass(frozen=True, slots=True)
class Http1Limits:
    """What a client may ask of a connection."""

    max_header_bytes: int = 16 << 10
    header_timeout_seconds: float = 10
    body_timeout_seconds: float = 30
    """In which each KiB of a body has to come, until the response begins; see `BodyPace`."""
    takes_stream: Callable[[bytes], bool] = never_takes_stream
    """Whether the body of a request to this target is a stream of messages, which may come as slowly as it likes."""
    write_timeout_seconds: float = 30
    """How long a client may take none of what waits for it."""
    keep_alive_seconds: float = 75
    write_buffer_bytes: int = 32 << 10
    max_discarded_bytes: int = 8 << 20
    """How much of a body is read that nobody wants any more, so that the response arrives."""


@dataclass(slots=True)
class Http1Counters:
    """What was refused to clients, of all connections."""

    bad_requests: int = 0
    requests_timed_out: int = 0
    heads_too_large: int = 0
    readers_stalled: int = 0

    def count(self, status: int) -> None:
        """A request was refused with an HTTP status."""
        match status:
            case 408:
                self.requests_timed_out += 1
            case 431:
                self.heads_too_large += 1
            case _:
                self.bad_requests += 1


class Http1Connection(asyncio.Protocol):
    """A client's connection: one request after the other."""

    version: ClassVar[str] = "1.1"

    def __init__(
        self, *, application: Application, limits: Http1Limits, counters: Http1Counters, connections: OpenConnections
    ) -> None:
        self.congested = False
        self.transport: asyncio.Transport
        self.writer: BatchingWriter
        self.closed = asyncio.get_running_loop().create_future()
        self._application = application
        self._limits = limits
        self._counters = counters
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._at = 0  # how much of the buffer is read: it is cut once a pipeline, not once a request
        self._body: Body | None = None
        self._exchange: Http1Exchange | None = None
        self._upload: Upload | None = None
        self._discarded = 0
        self.closing = False
        self._advancing = False
        self._reading = True
        self._looking = False
        self._quiet_since = self._moved_at = self._loop.time()
        self._unsent_bytes = 0
        self._pace = BodyPace(self._quiet_since)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.writer = BatchingWriter(self.transport)
        self.transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._leave()
        self.closed.set_result(None)

    def eof_received(self) -> None:
        """A client that closes its end has gone: browsers never close one direction only."""
        self.writer.flush()
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._body is not None:
            self._on_body(data)
        elif not self.closing:
            if not self._buffer:
                self._quiet_since = self._loop.time()
            self._buffer += data
            waits = self._exchange is not None or self.congested
            if waits and len(self._buffer) > self._limits.max_header_bytes:
                self.read(False)
        self._advance()

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._upload is not None:
            self._upload.writable()
        elif self._exchange is None and not self.closing:
            self.read(True)
            self._advance()

    def read(self, wanted: bool) -> None:
        """Reads from the socket, or leaves the bytes there."""
        if wanted == self._reading or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._quiet_since = self._loop.time()
            self._pace.restart(self._quiet_since)
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
            if not self._looking:
                self._look_later()

    def _look_later(self) -> None:
        self._looking = True
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Whether the client has gone, which nobody says while nothing is read."""
        self._looking = False
        if self._reading or self.transport.is_closing():
            return
        if _has_closed(self.transport):
            self._leave()
            self.transport.abort()
        else:
            self._look_later()

    def sweep(self, now: float) -> None:
        """Ends the connection when the client is too slow, or idle for too long."""
        if self._has_stalled(now):
            self._counters.readers_stalled += 1
            self.transport.abort()  # what was written last is not read
            return
        quiet = now - self._quiet_since
        if self._body is not None:
            if self._body_is_late(now):
                self._fail(
                    BadRequestError(408, "the body of the request did not come, or could not be passed on, in time")
                )
        elif self._exchange is None:
            if self._buffer and quiet > self._limits.header_timeout_seconds:
                self._fail(BadRequestError(408, "the head of the request did not come in time"))
            elif quiet > self._limits.keep_alive_seconds:
                self.close()

    def _has_stalled(self, now: float) -> bool:
        unsent_bytes = self.transport.get_write_buffer_size()
        if not self.congested or unsent_bytes < self._unsent_bytes:
            self._moved_at = now
        self._unsent_bytes = unsent_bytes
        return now - self._moved_at > self._limits.write_timeout_seconds

    def _body_is_late(self, now: float) -> bool:
        exchange = self._exchange
        if exchange is None:  # what is left of it nobody wants
            return self._pace.is_late(now, self._limits.body_timeout_seconds, is_stream=lambda: False)
        if exchange.started:
            return False
        return self._pace.is_late(
            now, self._limits.body_timeout_seconds, is_stream=lambda: self._limits.takes_stream(exchange.target)
        )

    def unread(self) -> Iterable[Unread]:
        """What waits for the client."""
        return (Unread(self.transport.get_write_buffer_size(), self._give_up),)

    def _give_up(self) -> None:
        self._counters.readers_stalled += 1
        self.transport.abort()

    def close_when_idle(self) -> None:
        """Takes no more requests; ends now or when the response is sent."""
        self.closing = True
        if self._exchange is None:
            self.close()

    def upgrade(self) -> None:
        """What comes from here on is no HTTP: the upload gets it as it comes."""
        self._body = EndlessBody()
        self.read(True)
        # While the request is still handled there is no upload; `_begin` passes on what came behind the head.
        if self._upload is not None and (early := self._rest()):
            self._on_body(early)

    def exchange_ended(self, *, keep_alive: bool) -> None:
        """The response is sent."""
        self._exchange = self._upload = None
        self._quiet_since = self._loop.time()
        self._pace.restart(self._quiet_since)
        self.closing = self.closing or not keep_alive
        if isinstance(self._body, EndlessBody):
            self._body = None
        if self.closing and self._body is None:
            self.close()
            return
        self.read(True)
        self._advance()

    def _advance(self) -> None:
        # Responses may end while their request is still handled; the loop keeps pipelines from recursing. A client
        # that does not read its responses gets no more of them.
        if self._advancing or self.congested:
            return
        self._advancing = True
        try:
            for begun in itertools.count(1):
                if self.closing or self._exchange is not None or self._body is not None:
                    break
                if self._at >= len(self._buffer) or not self._begin():
                    break
                if begun % _FLUSHED_RESPONSES == 0:
                    self.writer.flush()  # which may find that the socket is full
                    if self.congested:
                        break
        except BadRequestError as error:
            self._fail(error)
        finally:
            self._advancing = False
            if self._at:
                self._buffer = self._rest()

    def _begin(self) -> bool:
        while self._buffer.startswith(b"\r\n", self._at):  # RFC 9112, 2.2: to be ignored before a request
            self._at += 2
        end = self._buffer.find(_HEAD_END, self._at)
        if (len(self._buffer) if end < 0 else end) - self._at > self._limits.max_header_bytes:
            raise BadRequestError(431, f"the headers have more than {self._limits.max_header_bytes} bytes")
        if end < 0:
            return False
        head = http1.parse_head(self._buffer[self._at : end])
        self._at = end + len(_HEAD_END)
        self._discarded = 0
        self._body = http1.body_reader(head) if head.has_body else None
        self._pace.restart(self._loop.time())
        exchange = self._exchange = Http1Exchange(self, head)
        upload = self._application.handle(head, exchange)
        self._upload = upload if self._exchange is exchange else None
        if self._body is None:
            if self._upload is not None:
                self._upload.body_ended()
            return True
        rest = self._rest()
        if rest:
            self._on_body(rest)
        elif head.expects_continue and not isinstance(self._body, EndlessBody):
            self._continue()
        return True

    def _rest(self) -> bytes:
        """Takes what is not read out of the buffer."""
        rest, self._buffer, self._at = self._buffer[self._at :], b"", 0
        return rest

    def _continue(self) -> None:
        if self._exchange is not None:
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:  # whether the body comes nobody knows
            self._body = None
            self.close()

    def _on_body(self, data: bytes) -> None:
        assert self._body is not None
        self._pace.heard(len(data), self._loop.time())
        try:
            part, rest = self._body.feed(data)
        except BadRequestError as error:
            self._fail(error)
            return
        if self._upload is None:
            self._discarded += len(part)
        elif part:
            self._upload.body(part)
        if rest is not None:
            self._body, self._buffer = None, rest
            if self._upload is not None:
                self._upload.body_ended()
            elif self.closing and self._exchange is None:
                self.close()
        elif self._discarded > self._limits.max_discarded_bytes:
            self.close()

    def _fail(self, error: BadRequestError) -> None:
        """Says what is wrong where nothing was said yet, and closes."""
        exchange = self._exchange
        # Without an exchange, a body is what is left of a request that was answered already.
        unanswered = self._body is None if exchange is None else not exchange.started
        self._counters.count(error.status)
        self._leave()
        if unanswered:
            text = f"{error}\n".encode()
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(text)),
                (b"connection", b"close"),
            ]
            self.writer.write(http1.response_head(error.status, headers) + text)
        self.close()

    def _leave(self) -> None:
        upload, exchange = self._upload, self._exchange
        self.closing = True
        self._upload = self._exchange = self._body = None
        self._buffer, self._at = b"", 0
        if exchange is not None:
            exchange.abandon()
        if upload is not None:
            upload.gone()

    def break_off(self, *, clean: bool) -> None:
        """Closes before the response has ended: `clean` where its last chunk is missed, else by a reset."""
        self._exchange = self._upload = None
        self.close()
        if not clean:
            self.transport.abort()

    def close(self) -> None:
        """Closes when what was written is sent."""
        self.closing = True
        self.writer.flush()
        self.transport.close()


def _has_closed(transport: asyncio.Transport) -> bool:
    """Whether the peer has closed or reset its end, which the transport only sees while it reads."""
    state: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in _TCP_CLOSED


class Http1Exchange:
    """See `Downstream`."""

    __slots__ = ("_bodiless", "_chunked", "_connection", "_head", "_keep_alive", "_over", "started")

    def __init__(self, connection: Http1Connection, head: Http1Head) -> None:
        self.started = False
        self._connection = connection
        self._head = head
        self._bodiless = head.method == b"HEAD"
        self._keep_alive = head.keep_alive
        self._chunked = False
        self._over = False

    @property
    def target(self) -> bytes:
        """Of the request."""
        return self._head.target

    @property
    def congested(self) -> bool:
        return self._connection.congested

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        if self._over:
            return
        self.started = True
        if status == 101:
            self._keep_alive = False
            self._connection.writer.write(http1.response_head(status, headers))
            self._connection.upgrade()
            return
        framing: list[tuple[bytes, bytes]] = []
        if length is not None:
            if status not in {204, 304}:
                framing.append((b"content-length", b"%d" % length))
        elif self._head.minor:
            self._chunked = True
            framing.append((b"transfer-encoding", b"chunked"))
        else:  # HTTP/1.0 knows no chunks: the end of the connection is the end of the body
            self._keep_alive = False
        if not self._keep_alive or self._connection.closing:
            framing.append((b"connection", b"close"))
        elif not self._head.minor:
            framing.append((b"connection", b"keep-alive"))
        self._connection.writer.write(http1.response_head(status, [*headers, *framing]))

    def write(self, data: bytes) -> None:
        if data and not self._over and not self._bodiless:
            self._connection.writer.write(http1.chunk(data) if self._chunked else data)

    def end(self, data: bytes = b"", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        if self._over:
            return
        self._over = True
        if not self._bodiless:
            last = http1.LAST_CHUNK if self._chunked else b""
            body = (http1.chunk(data) if self._chunked and data else data) + last
            if body:
                self._connection.writer.write(body)
        self._connection.exchange_ended(keep_alive=self._keep_alive)

    def break_off(self) -> None:
        if not self._over:
            self._over = True
            self._connection.break_off(clean=self._chunked)

    def pause_body(self) -> None:
        if not self._over:
            self._connection.read(False)

    def resume_body(self) -> None:
        if not self._over:
            self._connection.read(True)

    def abandon(self) -> None:
        """The client has gone."""
        self._over = True
