"""A call: a client's protocol on one side, a gRPC stream of a backend on the other."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from troupe.core.logs import get_logger
from troupe.gateway import faults
from troupe.gateway.downstream.exchange import Downstream
from troupe.gateway.faults import fault
from troupe.gateway.methods import OWN_SERVICES
from troupe.gateway.observation import Observer
from troupe.gateway.upstream.connection import BackendConnection
from troupe.gateway.upstream.pool import Waiting
from troupe.gateway.wire import cors, hpack_blocks, http2, metadata, status
from troupe.gateway.wire.dialect import Dialect, RequestError, ResponseError, ResponseHead
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2_client import Stream
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead

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
    """Who calls what."""

    head: RequestHead
    path: bytes
    """Of the gRPC method."""
    origin: bytes
    request_id: bytes


class Call:
    """One call, from the head of the request to its end. It is an `Upload`, a `Receiver` and a `Waiting`."""

    __slots__ = (
        "_backends", "_begun", "_client_done", "_dialect", "_downstream", "_early", "_held", "_loop", "_observation",
        "_on_end", "_opening", "_over", "_request", "_request_bytes", "_response_bytes", "_started", "_stream",
        "_timer",
    )  # fmt: skip

    def __init__(
        self,
        *,
        request: CallRequest,
        dialect: Dialect,
        downstream: Downstream,
        backends: Backends,
        observer: Observer,
        on_end: Callable[["Call"], None],
    ) -> None:
        self._request = request
        self._dialect = dialect
        self._downstream = downstream
        self._backends = backends
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._observation = observer.began(request.head, request.path, dialect.name, request.request_id)
        self._request_bytes = 0
        self._opening: Headers = ()
        self._stream: Stream | None = None
        self._early = b""
        self._held: list[bytes] = []
        self._client_done = False
        self._begun = False
        self._started = False
        self._over = False
        self._response_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Sets the deadline and looks for a connection."""
        try:
            opening = self._dialect.open()
        except RequestError as error:
            self._abort_request(error)
            return
        self._opening = opening.headers + self._observation.headers
        if opening.timeout_seconds is not None:
            self._timer = self._loop.call_later(opening.timeout_seconds, self._expire)
        self._backends.connect(self)

    def start_response(self) -> None:
        """Begins the response although the backend has not."""
        if not self._over and not self._started:
            self._start(self._dialect.begin(()))

    def abort(self, reason: GrpcStatus) -> None:
        """Ends the call with a status of the gateway's own."""
        if not self._over:
            self._cancel_stream()
            # Details of the gateway's own errors are part of this contract, not of those of other services behind it.
            self._end(reason if self._request.path.startswith(OWN_SERVICES) else reason.without_details())

    # From the pool.

    def attach(self, connection: BackendConnection) -> None:
        request = self._request
        block = metadata.request_block(request.head, request.path, self._opening, connection.authority)
        block += hpack_blocks.encode([(b"x-request-id", request.request_id)])
        self._stream = connection.open_stream(block, self)
        early, self._early = self._early, b""
        if early or self._client_done:
            self._forward(self._stream, early)
        if not self._client_done:
            self._downstream.resume_body()

    def refuse(self, message: str) -> None:
        self.abort(fault(faults.BACKEND_UNAVAILABLE, message))

    # From the client.

    def body(self, data: bytes) -> None:
        if self._over:
            return
        try:
            data = self._dialect.request(data)
        except RequestError as error:
            self._abort_request(error)
            return
        except Exception:  # noqa: BLE001 - the edge of a call: the client's others share its connection
            self.abort(self._defect())
            return
        self._send(data)

    def body_ended(self) -> None:
        if self._over:
            return
        try:
            rest = self._dialect.request_end()
        except RequestError as error:
            self._abort_request(error)
            return
        except Exception:  # noqa: BLE001 - the edge of a call, as above
            self.abort(self._defect())
            return
        self._client_done = True
        self._send(rest)

    def gone(self) -> None:
        if not self._over:
            self._cancel_stream()
            self._close(_CANCELLED)

    # `Upload.writable` says that the client has caught up, `Receiver.writable` that the backend has. Both take up
    # what was held back; neither can hurt when it is the other's.

    def writable(self) -> None:
        stream = self._stream
        if stream is None or self._over:
            return
        if stream.paused and not self._downstream.congested:
            self._release()
        if stream.paused and not self._downstream.congested:
            stream.resume()
        if not stream.pending_bytes and not self._client_done:
            self._downstream.resume_body()

    # From the backend.

    def headers(self, headers: Headers, *, end: bool) -> None:
        block = metadata.read_response(headers)
        if end:
            self._stream = None
            self._end(block.status or metadata.missing_status(block), block.metadata)
        elif self._begun:
            self._break("the backend sent headers twice")
        elif block.informational:
            return
        elif block.http_status != 200 or not block.is_grpc:
            self._cancel_stream()
            self._end(metadata.missing_status(block))
        else:
            self._begun = True
            if not self._started:
                self._start(self._dialect.begin(block.metadata))

    def data(self, data: bytes) -> None:
        if self._over:
            return
        if not self._begun:
            self._break("the backend sent a message before its headers")
            return
        self._response_bytes += len(data)
        if self._downstream.congested:  # as it came, which the window bounds: JSON is larger
            self._held.append(data)
        else:
            self._write(data)
        if self._downstream.congested and self._stream is not None:
            self._stream.pause()

    def ended(self) -> None:
        self._stream = None
        if not self._over:
            self._end(metadata.grpc_status(status.Code.UNKNOWN, "the backend ended the call without a gRPC status"))

    def reset(self, code: int, message: str) -> None:
        self._stream = None
        if self._over:
            return
        if code == http2.REFUSED_STREAM:
            self.abort(fault(faults.BACKEND_UNAVAILABLE, f"{message}; call again in a moment"))
        else:
            self._end(metadata.grpc_status(status.of_reset(code), message))

    def _write(self, data: bytes) -> None:
        try:
            self._downstream.write(self._dialect.response(data))
        except ResponseError as error:
            self.abort(metadata.grpc_status(error.code, str(error)))
        except Exception:  # noqa: BLE001 - the edge of a call: others share the backend's connection
            self.abort(self._defect())

    def _release(self) -> None:
        """Writes what was held while the client was too slow."""
        held, self._held = self._held, []
        if held and not self._over:
            self._write(b"".join(held))

    def _start(self, head: ResponseHead | None, length: int | None = None) -> None:
        if head is None:
            return
        self._started = True
        request = self._request
        exposed = tuple([name for name, _ in head.headers]) if request.origin else ()
        own = ((b"x-request-id", request.request_id), *cors.response_headers(request.origin, exposed))
        self._downstream.start(head.status, head.headers + own, length=length)

    def _send(self, data: bytes) -> None:
        self._request_bytes += len(data)
        if self._stream is not None:
            self._forward(self._stream, data)
            return
        self._early += data
        if len(self._early) >= _EARLY_BYTES:
            self._downstream.pause_body()

    def _forward(self, stream: Stream, data: bytes) -> None:
        if (data or self._client_done) and not stream.send(data, end=self._client_done):
            self._downstream.pause_body()

    def _abort_request(self, error: RequestError) -> None:
        self.abort(faults.of_request(error))

    def _break(self, message: str) -> None:
        self.abort(metadata.grpc_status(status.Code.INTERNAL, message))

    def _expire(self) -> None:
        self.abort(fault(faults.DEADLINE_EXCEEDED, "the deadline of the call has passed"))

    def _defect(self) -> GrpcStatus:
        """What a call ends with that met a fault of the gateway's own."""
        request_id = self._request.request_id.decode()
        get_logger().exception("call failed", method=self._request.path.decode(), request_id=request_id)
        problem = "internal error; the log of the gateway has it under this request id"
        return fault(faults.INTERNAL, problem)

    def _cancel_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(http2.CANCEL)

    def _end(self, outcome: GrpcStatus, trailers: Headers = ()) -> None:
        self._release()
        if self._over:
            return
        try:
            ending = self._dialect.finish(outcome, trailers, started=self._started)
        except ResponseError as error:
            outcome = metadata.grpc_status(error.code, str(error))
            ending = self._dialect.finish(outcome, trailers, started=self._started)
        except Exception:  # noqa: BLE001 - the edge of a call, as above
            outcome = self._defect()
            ending = self._dialect.finish(outcome, trailers, started=self._started)
        if ending.broken:
            self._downstream.break_off()
        else:
            self._start(ending.head, None if ending.trailers else len(ending.body))
            self._downstream.end(ending.body, ending.trailers)
        self._close(outcome.code)

    def _close(self, code: bytes) -> None:
        self._over = True
        self._early = b""
        self._held = []
        if self._timer is not None:
            self._timer.cancel()
        if self._stream is None:
            self._backends.leave(self)
        self._on_end(self)
        self._observation.ended(code, request_bytes=self._request_bytes, response_bytes=self._response_bytes)
