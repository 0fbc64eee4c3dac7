"""A call: gRPC-Web of a client on one side, a gRPC stream of a backend on the other; message bytes pass as they are."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway import faults
from gateway.access_log import AccessLog, CallRecord
from gateway.downstream.exchange import Downstream
from gateway.faults import fault
from gateway.upstream.connection import BackendConnection
from gateway.upstream.pool import Waiting
from gateway.wire import cors, hpack_blocks, http2, metadata, status
from gateway.wire.framing import FramingError, MessageScanner, MessageTooLargeError, trailers_frame
from gateway.wire.hpack_blocks import Headers
from gateway.wire.http2_client import Stream
from gateway.wire.media import Media
from gateway.wire.metadata import GrpcStatus, ResponseBlock
from gateway.wire.request import RequestHead
from gateway.wire.text import TextDecoder, encode_text

# What may wait for a connection or for the backend's window before no more of the request is read.
_EARLY_BYTES: Final = 64 << 10
_CANCELLED: Final = b"%d" % status.Code.CANCELLED


class Backends(Protocol):
    """Where calls go."""

    def connect(self, call: Waiting) -> None:
        """Attaches or refuses the call, now or later."""
        ...

    def leave(self, call: Waiting) -> None:
        """The call waits no more."""
        ...


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the head of a request asked for."""

    head: RequestHead
    media: Media
    origin: bytes
    request_id: bytes
    timeout_seconds: float | None


class Call:
    """One call, from the head of the request to its end. It is an `Upload`, a `Receiver` and a `Waiting`."""

    __slots__ = (
        "_access_log", "_backends", "_client_done", "_decoder", "_downstream", "_early", "_encode", "_loop", "_on_end",
        "_over", "_request", "_response_bytes", "_scanner", "_started", "_started_at", "_stream", "_timer",
    )  # fmt: skip

    def __init__(
        self,
        *,
        request: CallRequest,
        downstream: Downstream,
        backends: Backends,
        access_log: AccessLog,
        max_message_bytes: int,
        on_end: Callable[["Call"], None],
    ) -> None:
        self._request = request
        self._downstream = downstream
        self._backends = backends
        self._access_log = access_log
        self._on_end = on_end
        self._scanner = MessageScanner(max_message_bytes=max_message_bytes)
        self._decoder = TextDecoder() if request.media.text else None
        self._encode = request.media.text_response
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._stream: Stream | None = None
        self._early = b""
        self._client_done = False
        self._started = False
        self._over = False
        self._response_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Sets the deadline and looks for a connection."""
        timeout_seconds = self._request.timeout_seconds
        if timeout_seconds is not None:
            self._timer = self._loop.call_later(timeout_seconds, self._expire)
        self._backends.connect(self)

    def abort(self, reason: GrpcStatus) -> None:
        """Ends the call with a status of the gateway's own."""
        if not self._over:
            self._cancel_stream()
            self._end(reason)

    # From the pool.

    def attach(self, connection: BackendConnection) -> None:
        """See `Waiting`."""
        block = metadata.request_block(self._request.head, self._request.media, connection.address.encode())
        block += hpack_blocks.encode([(b"x-request-id", self._request.request_id)])
        self._stream = connection.open_stream(block, self)
        early, self._early = self._early, b""
        if early or self._client_done:
            self._send(early)
        if not self._client_done:
            self._downstream.resume_body()

    def refuse(self, message: str) -> None:
        """See `Waiting`."""
        self.abort(fault(faults.BACKEND_UNAVAILABLE, message))

    # From the client.

    def body(self, data: bytes) -> None:
        """See `Upload`."""
        if self._over:
            return
        try:
            if self._decoder is not None:
                data = self._decoder.feed(data)
            self._scanner.feed(data)
        except (FramingError, MessageTooLargeError) as error:
            self._abort_request(error)
            return
        self._send(data)

    def body_ended(self) -> None:
        """See `Upload`."""
        if self._over:
            return
        rest = b""
        try:
            if self._decoder is not None:
                rest = self._decoder.close()
                self._scanner.feed(rest)
            self._scanner.close()
        except (FramingError, MessageTooLargeError) as error:
            self._abort_request(error)
            return
        self._client_done = True
        self._send(rest)

    def gone(self) -> None:
        """See `Upload`."""
        if not self._over:
            self._cancel_stream()
            self._close(_CANCELLED)

    # `Upload.writable` says that the client has caught up, `Receiver.writable` that the backend has. Both take up
    # what was held back; neither can hurt when it is the other's.

    def writable(self) -> None:
        """See `Upload` and `Receiver`."""
        stream = self._stream
        if stream is None or self._over:
            return
        if stream.paused and not self._downstream.congested:
            stream.resume()
        if not stream.pending_bytes and not self._client_done:
            self._downstream.resume_body()

    # From the backend.

    def headers(self, headers: Headers, *, end: bool) -> None:
        """See `Receiver`."""
        block = metadata.read_response(headers)
        if end:
            self._stream = None
            self._end(block.status or metadata.missing_status(block), block)
        elif self._started:
            self._break("the backend sent headers twice")
        elif not block.informational:
            self._start(block)

    def data(self, data: bytes) -> None:
        """See `Receiver`."""
        if self._over:
            return
        if not self._started:
            self._break("the backend sent a message before its headers")
            return
        self._response_bytes += len(data)
        self._downstream.write(encode_text(data) if self._encode else data)
        if self._downstream.congested and self._stream is not None:
            self._stream.pause()

    def ended(self) -> None:
        """See `Receiver`."""
        self._stream = None
        if not self._over:
            self._end(metadata.grpc_status(status.Code.UNKNOWN, "the backend ended the call without a gRPC status"))

    def reset(self, code: int, message: str) -> None:
        """See `Receiver`."""
        self._stream = None
        if self._over:
            return
        if code == http2.REFUSED_STREAM:
            self._end(fault(faults.BACKEND_UNAVAILABLE, f"{message}; call again in a moment"))
        else:
            self._end(metadata.grpc_status(status.of_reset(code), message))

    def _start(self, block: ResponseBlock) -> None:
        if block.http_status != 200 or not block.is_grpc:
            self._cancel_stream()
            self._end(metadata.missing_status(block))
            return
        self._started = True
        self._downstream.start(200, self._response_headers(block))

    def _response_headers(self, block: ResponseBlock | None) -> Headers:
        request = self._request
        names, pairs = (block.names, block.metadata) if block is not None else ((), ())
        return (
            (b"content-type", request.media.response_type),
            (b"x-request-id", request.request_id),
            *cors.response_headers(request.origin, names),
            *pairs,
        )

    def _send(self, data: bytes) -> None:
        if self._stream is None:
            self._early += data
            if len(self._early) >= _EARLY_BYTES:
                self._downstream.pause_body()
        elif (data or self._client_done) and not self._stream.send(data, end=self._client_done):
            self._downstream.pause_body()

    def _abort_request(self, error: FramingError | MessageTooLargeError) -> None:
        too_large = isinstance(error, MessageTooLargeError)
        self.abort(fault(faults.MESSAGE_TOO_LARGE if too_large else faults.INVALID_REQUEST, str(error)))

    def _break(self, message: str) -> None:
        self.abort(metadata.grpc_status(status.Code.INTERNAL, message))

    def _expire(self) -> None:
        self.abort(fault(faults.DEADLINE_EXCEEDED, "the deadline of the call has passed"))

    def _cancel_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(http2.CANCEL)

    def _end(self, outcome: GrpcStatus, block: ResponseBlock | None = None) -> None:
        trailers = outcome.pairs + (block.metadata if block is not None else ())
        if self._started:
            frame = trailers_frame(trailers)
            self._downstream.end(encode_text(frame) if self._encode else frame)
        else:
            self._downstream.start(200, self._response_headers(block) + outcome.pairs, length=0)
            self._downstream.end()
        self._close(outcome.code)

    def _close(self, code: bytes) -> None:
        self._over = True
        self._early = b""
        if self._timer is not None:
            self._timer.cancel()
        if self._stream is None:
            self._backends.leave(self)
        self._on_end(self)
        self._access_log.ended(
            CallRecord(
                method=self._request.head.target.decode(),
                request_id=self._request.request_id.decode(),
                grpc_status=code,
                elapsed_ms=(self._loop.time() - self._started_at) * 1000,
                response_bytes=self._response_bytes,
            )
        )
